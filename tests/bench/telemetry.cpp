// bench_telemetry: what looking at this host costs: a sample of chaosd beside a scrape of Debian's
// prometheus-node-exporter with the same collectors, /metrics with many series, memory of an hour, CPU at 1 Hz.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "bench/harness.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/net.h"
#include "support/observe.h"

namespace chaos::bench {
namespace {

using nlohmann::json;
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr double kShare = 0.1;        ///< of node_exporter's CPU
constexpr double kScrapeMs = 5;       ///< p99
constexpr double kResidentMb = 25;    ///< 10^6 bytes
constexpr double kIdlePercent = 0.2;  ///< of one CPU
constexpr milliseconds kApart{60};    ///< scrapes: more than telemetry.interval below, so that each is a new sample
constexpr const char* kSeldom = "monitoring: {metrics_interval: 1h}\ntelemetry: {interval: 50ms}\n";
constexpr const char* kDisk = "store: {history_step: 1m}\n";

double ms(nanoseconds value) { return duration<double, std::milli>(value).count(); }

/// A port of 127.0.0.1 that nobody has now.
std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

/// GET /metrics over TCP, one connection; the body's length. Throws unless it is 200.
std::size_t scrape(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 0;
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return 0;
  std::string answer;
  char buffer[65536];
  for (ssize_t got = 0; (got = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  if (!answer.starts_with("HTTP/1.1 200")) throw std::runtime_error("/metrics: " + answer.substr(0, 200));
  return answer.size();
}

/// One whom /metrics is asked of, and what that cost it.
struct Scraped {
  std::string name;
  pid_t pid = 0;
  std::uint16_t port = 0;
  nanoseconds base{};               ///< CPU time in a scrape's time without one
  std::vector<double> cpu_ms{};     ///< a scrape, by round, without what it takes anyway
  std::vector<double> answer_ms{};  ///< each
};

class Bench {
 public:
  Bench(const Options& options, std::string exporter, unsigned interfaces, unsigned rounds_of_memory)
      : options_(options), exporter_(std::move(exporter)), interfaces_(interfaces), memory_rounds_(rounds_of_memory) {}

  Report run() {
    report_.title = "bench_telemetry: what looking at this host costs";
    report_.setup = host_facts();
    report_.setup["rounds"] = options_.rounds;
    report_.setup["scrapes_a_round"] = scrapes();
    beside_the_exporter();
    many_series();
    idle();
    progress("");
    return report_;
  }

 private:
  [[nodiscard]] unsigned scrapes() const {
    return std::max(2U, static_cast<unsigned>(options_.seconds * 1000 / static_cast<double>(kApart.count())));
  }

  static test::Daemon::Setup setup(const std::string& config) {
    test::Daemon::Setup made;
    made.config = config;
    return made;
  }

  /// `count` scrapes, one every kApart; without `ask` the same time with none.
  void block(Scraped& one, bool ask) {
    check_interrupted();
    const nanoseconds before = test::cpu_time(one.pid);
    auto next = steady_clock::now();
    for (unsigned i = 0; i < scrapes(); ++i) {
      next += kApart;
      if (ask) {
        const auto asked = steady_clock::now();
        if (scrape(one.port) == 0) throw std::runtime_error(one.name + " does not answer");
        one.answer_ms.push_back(ms(steady_clock::now() - asked));
      }
      std::this_thread::sleep_until(next);
    }
    const nanoseconds spent = (test::cpu_time(one.pid) - before) / scrapes();
    if (ask) {
      one.cpu_ms.push_back(ms(spent - one.base));
    } else {
      one.base = spent;
    }
  }

  [[nodiscard]] std::vector<std::string> exporter_arguments(std::uint16_t port) const {
    std::vector<std::string> arguments{"prometheus-node-exporter",
                                       fmt::format("--web.listen-address=127.0.0.1:{}", port),
                                       "--collector.disable-defaults",
                                       "--web.disable-exporter-metrics",
                                       "--log.level=error",
                                       "--collector.netdev.netlink"};
    for (const char* name : {"cpu", "stat", "meminfo", "vmstat", "pressure", "diskstats", "filesystem", "netdev",
                             "netclass", "qdisc", "netstat", "softnet", "sockstat"}) {
      arguments.push_back(std::string("--collector.") + name);
    }
    return arguments;
  }

  /// CPU time of all collectors' runs so far, and how often each ran at most.
  static std::pair<double, double> collectors(const test::Daemon& daemon) {
    double seconds = 0;
    double runs = 0;
    const json answer = daemon.get("/api/monitoring/metrics?pattern=chaosd_collector_").body;
    for (const json& one : answer.at("metrics")) {
      if (one.at("name") == "chaosd_collector_cpu_seconds_total") seconds += one.at("value").get<double>();
      if (one.at("name") == "chaosd_collector_runs_total") runs = std::max(runs, one.at("value").get<double>());
    }
    return {seconds, runs};
  }

  void beside_the_exporter() {
    const std::uint16_t own_port = free_port();
    const test::Daemon daemon(setup(fmt::format("{}metrics: {{listen: \"127.0.0.1:{}\"}}\n", kSeldom, own_port)));
    std::vector<Scraped> all{{"chaosd", daemon.pid(), own_port}, {"control: chaosd again", daemon.pid(), own_port}};
    const std::uint16_t port = free_port();
    const test::Child exporter(exporter_, exporter_arguments(port));
    const bool there = exporter.pid() > 0 && test::eventually([&] { return scrape(port) > 0; });
    if (there) all.push_back({"prometheus-node-exporter", exporter.pid(), port});
    if (!there) report_.notes.push_back(exporter_ + " does not run here: nothing to compare with");
    for (Scraped& one : all) {
      (void)scrape(one.port);
      block(one, false);
    }
    const auto before = collectors(daemon);
    for (unsigned round = 0; round < options_.rounds; ++round) {
      progress(fmt::format("scrapes: {} of {}", round + 1, options_.rounds));
      for (const std::size_t i : round_order(all.size(), round)) block(all[i], true);
    }
    const auto after = collectors(daemon);
    Table table("scrape", "One scrape over TCP, with a new sample: CPU time and answer, ms",
                {{"who", "who"},
                 {"cpu_ms", "CPU", 3},
                 {"p10_ms", "p10", 3},
                 {"p90_ms", "p90", 3},
                 {"answer_p50_ms", "answer p50", 2},
                 {"answer_p99_ms", "p99", 2}});
    for (const Scraped& one : all) {
      const Summary cpu = summarize(one.cpu_ms);
      const Summary answer = summarize(one.answer_ms);
      table.add({one.name, cpu.median, cpu.p10, cpu.p90, answer.median, answer.p99});
    }
    const double sample_ms = 1000 * (after.first - before.first) / std::max(after.second - before.second, 1.0);
    table.add({"chaosd, the collectors alone", sample_ms, json(), json(), json(), json()});
    report_.tables.push_back(std::move(table));
    const auto share = [&](std::size_t i, std::size_t of) {
      std::vector<double> shares;
      for (std::size_t round = 0; round < options_.rounds; ++round) {
        shares.push_back(all[i].cpu_ms[round] / all[of].cpu_ms[round]);
      }
      return summarize(shares).median;
    };
    report_.setup["control"] = share(1, 0);
    if (!there) return;
    const double exporter_ms = summarize(all[2].cpu_ms).median;
    report_.targets.push_back(
        {"CPU of a full sample, of the exporter's for a scrape", sample_ms / exporter_ms, 0, kShare, ""});
    report_.targets.push_back({"the same with HTTP and text, paired", share(0, 2), 0, kShare, ""});
  }

  /// chaosd in a namespace with so many interfaces that it has a thousand series and more.
  void many_series() {
    const test::Namespace host("series");
    for (unsigned i = 0; i < interfaces_ / 2; ++i) {
      (void)test::shell(fmt::format("ip -n {} link add a{} type veth peer name b{}", host.name(), i, i));
    }
    test::Daemon::Setup made = setup("monitoring: {metrics_interval: 100ms}\ntelemetry: {interval: 50ms}\n");
    made.wrapper = {"nsenter", "--net=/run/netns/" + host.name(), "--"};
    const test::Daemon daemon(made);
    const auto series = [&] { return daemon.get("/api/monitoring/metrics").body.at("metrics").size(); };
    const std::size_t count = series();
    report_.setup["series"] = count;
    std::vector<double> answers;
    std::size_t bytes = 0;
    auto next = steady_clock::now();
    // Each of these is a round as well: together they are an hour at 1 Hz.
    for (unsigned i = 0; i < memory_rounds_; ++i) {
      check_interrupted();
      if (i % 100 == 0) progress(fmt::format("{} series: {} of {}", count, i, memory_rounds_));
      next += kApart;
      const auto asked = steady_clock::now();
      const test::Response response = daemon.get("/metrics");
      answers.push_back(ms(steady_clock::now() - asked));
      if (response.status != 200) throw std::runtime_error("/metrics: " + response.text.substr(0, 200));
      bytes = response.text.size();
      std::this_thread::sleep_until(next);
    }
    const double resident = static_cast<double>(test::status_kb(daemon.pid(), "VmRSS")) * 1024 / 1e6;
    const Summary answer = summarize(answers);
    Table table("series", fmt::format("{} series", count), {{"what", "what"}, {"value", "value", 2}, {"unit", "unit"}});
    table.add({"/metrics, p50", answer.median, "ms"});
    table.add({"/metrics, p99", answer.p99, "ms"});
    table.add({"/metrics, longest", answer.max, "ms"});
    table.add({"/metrics, size", static_cast<double>(bytes) / 1000, "kB"});
    table.add({fmt::format("resident memory after {} rounds", memory_rounds_), resident, "MB"});
    table.add(
        {"of it shared with files", static_cast<double>(test::status_kb(daemon.pid(), "RssFile")) * 1024 / 1e6, "MB"});
    const json own = daemon.get("/api/monitoring/metrics?pattern=chaosd_telemetry_").body;
    for (const json& one : own.at("metrics")) {
      if (one.at("name") == "chaosd_telemetry_history_bytes") {
        table.add({"of it history", one.at("value").get<double>() / 1e6, "MB"});
      }
      if (one.at("name") == "chaosd_telemetry_rounds_missed_total") {
        table.add({"rounds left out", one.at("value"), ""});
      }
    }
    report_.tables.push_back(std::move(table));
    report_.targets.push_back({fmt::format("/metrics with {} series, p99", count), answer.p99, 0, kScrapeMs, "ms"});
    report_.targets.push_back(
        {fmt::format("resident with {} rounds of {} series", memory_rounds_, count), resident, 0, kResidentMb, "MB"});
  }

  /// Two of each side by side, over the same seconds: sampling at 1 Hz, and hardly ever.
  void idle() {
    const std::string often = "monitoring: {metrics_interval: 1s}\n";
    const std::string seldom = "monitoring: {metrics_interval: 1h}\n";
    std::vector<std::unique_ptr<test::Daemon>> daemons;
    for (const std::string& config : {often, often, seldom, seldom}) {
      daemons.push_back(std::make_unique<test::Daemon>(setup(config + kDisk)));
    }
    std::vector<std::vector<double>> percent(daemons.size());
    const auto length = std::chrono::duration_cast<steady_clock::duration>(duration<double>(options_.seconds * 5));
    for (unsigned round = 0; round < options_.rounds; ++round) {
      check_interrupted();
      progress(fmt::format("1 Hz: {} of {}", round + 1, options_.rounds));
      std::vector<nanoseconds> before;
      for (const auto& daemon : daemons) before.push_back(test::cpu_time(daemon->pid()));
      const auto began = steady_clock::now();
      std::this_thread::sleep_until(began + length);
      for (std::size_t i = 0; i < daemons.size(); ++i) {
        const duration<double> spent = test::cpu_time(daemons[i]->pid()) - before[i];
        percent[i].push_back(100 * spent / duration<double>(steady_clock::now() - began));
      }
    }
    Table table("idle", "CPU of a chaosd that nobody asks anything, per cent of one CPU",
                {{"what", "what"}, {"percent", "median", 3}, {"p10", "p10", 3}, {"p90", "p90", 3}});
    const char* names[] = {"1 Hz", "control: 1 Hz again", "hardly ever", "control: hardly ever again"};
    for (std::size_t i = 0; i < daemons.size(); ++i) {
      const Summary one = summarize(percent[i]);
      table.add({names[i], one.median, one.p10, one.p90});
    }
    std::vector<double> difference;
    for (std::size_t round = 0; round < options_.rounds; ++round) {
      difference.push_back(percent[0][round] - percent[2][round]);
    }
    const Summary telemetry = summarize(difference);
    table.add({"1 Hz less hardly ever", telemetry.median, telemetry.p10, telemetry.p90});
    report_.tables.push_back(std::move(table));
    report_.targets.push_back({"CPU at 1 Hz, all of chaosd", summarize(percent[0]).median, 0, kIdlePercent, "%"});
    report_.targets.push_back({"CPU at 1 Hz, of telemetry", telemetry.median, 0, kIdlePercent, "%"});
  }

  const Options& options_;
  const std::string exporter_;
  const unsigned interfaces_;
  const unsigned memory_rounds_;
  Report report_;
};

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  std::string exporter = "/usr/bin/prometheus-node-exporter";
  unsigned interfaces = 80;
  unsigned memory_rounds = 3600;
  return run_benchmark(
      argc, argv, "What telemetry costs, beside prometheus-node-exporter.", {.rounds = 20, .seconds = 1},
      [&](CLI::App& app) {
        app.add_option("--exporter", exporter, "prometheus-node-exporter")->capture_default_str();
        app.add_option("--interfaces", interfaces, "of the namespace with many series")->capture_default_str();
        app.add_option("--memory-rounds", memory_rounds, "rounds before memory is looked at")->capture_default_str();
      },
      [&](const Options& options) { return Bench(options, exporter, interfaces, memory_rounds).run(); });
}
