#include "bench/harness.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>

namespace chaos::bench {
namespace {

constexpr int kSkipped = 77;
std::atomic<bool> g_interrupted{false};  // lock-free, so a signal handler may store it

void on_signal(int /*signo*/) { g_interrupted.store(true); }

/// Nearest rank; `sorted` is not empty.
double quantile(const std::vector<double>& sorted, double q) {
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

int not_root() {
  const char* required = std::getenv("CHAOS_REQUIRE_KERNEL");
  std::fputs("needs to run as root\n", stderr);
  return required != nullptr && std::string_view(required) == "1" ? EXIT_FAILURE : kSkipped;
}

}  // namespace

int run_benchmark(int argc, char** argv, const std::string& description, Options defaults,
                  const std::function<void(CLI::App&)>& extend, const std::function<Report(const Options&)>& job) {
  Options options = defaults;
  CLI::App app(description);
  app.add_option("--rounds", options.rounds, "interleaved rounds")->capture_default_str()->check(CLI::PositiveNumber);
  if (options.seconds > 0) {
    app.add_option("--seconds", options.seconds, "length of one measurement")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
  }
  app.add_flag("--json", options.json, "print one JSON document instead of tables");
  app.add_flag("--check", options.check, "exit with 1 if a target is missed");
  extend(app);
  CLI11_PARSE(app, argc, argv);
  if (geteuid() != 0) return not_root();
  ::signal(SIGINT, on_signal);
  ::signal(SIGTERM, on_signal);
  try {
    const Report report = job(options);
    std::fputs((options.json ? report.json().dump(2) + "\n" : report.text()).c_str(), stdout);
    return options.check && !report.all_met() ? EXIT_FAILURE : EXIT_SUCCESS;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return EXIT_FAILURE;
  }
}

void check_interrupted() {
  if (g_interrupted.load()) throw std::runtime_error("interrupted");
}

void progress(const std::string& text) {
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K{}{}", text, text.empty() ? "" : " …");
}

void be_punctual() {
  const sched_param realtime{.sched_priority = 10};
  (void)sched_setscheduler(0, SCHED_FIFO, &realtime);
  (void)prctl(PR_SET_TIMERSLACK, 1UL);
}

Summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  Summary summary;
  summary.median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  summary.p10 = quantile(values, 0.10);
  summary.p90 = quantile(values, 0.90);
  summary.p99 = quantile(values, 0.99);
  summary.max = values.back();
  return summary;
}

std::vector<std::size_t> round_order(std::size_t count, unsigned round) {
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = (i + round / 2) % count;
  if (round % 2 == 1) std::ranges::reverse(order);
  return order;
}

}  // namespace chaos::bench
