// bench_syscalls: what syscall_failure costs: those whose calls are none of its business, and those whose calls fail,
// beside strace's way of failing them.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "bench/harness.h"
#include "support/cgroup.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/requests.h"
#include "support/temp_dir.h"

namespace chaos::bench {
namespace {

using nlohmann::json;

constexpr int kError = EIO;
constexpr std::array<const char*, 3> kCalls{"read", "openat", "socket"};
constexpr unsigned kBatch = 64;
constexpr std::size_t kPage = 4096;

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// What calls are made on.
struct Ground {
  test::TempDir dir;
  std::string file = (dir.path() / "file").string();
  UniqueFd zero{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
  UniqueFd cached;
  Ground() {
    cached.reset(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::vector<char> bytes(kPage * kBatch, 'x');
    if (::write(cached.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("write " + file);
    }
  }
};

// The side of those whose calls fail: this program once more, by the name of the call.

long make(std::string_view call, int zero, const char* file) {
  char byte = 0;
  if (call == "read") return syscall(SYS_read, zero, &byte, 1);
  if (call == "openat") return syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
  return syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

bool fails(std::string_view call, int zero, const char* file) {
  const long got = make(call, zero, file);
  if (got >= 0 && call != "read") (void)syscall(SYS_close, static_cast<int>(got));
  return got < 0 && errno == kError;
}

/// Says that it is there, calls until a call fails, and tells what each of the `count` that follow took, in ns of this
/// thread's time on the clock. Nothing but these calls happens in between.
int live_as_caller(const std::string& call, long count) {
  const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  const char* const file = "/dev/null";
  const timespec pause{.tv_sec = 0, .tv_nsec = 200'000};
  (void)!::write(STDOUT_FILENO, "ready\n", 6);
  const double patience = seconds_of(CLOCK_MONOTONIC) + 60;
  while (!fails(call, zero, file)) {
    if (seconds_of(CLOCK_MONOTONIC) > patience) return EXIT_FAILURE;
    nanosleep(&pause, nullptr);
  }
  const double began = seconds_of(CLOCK_MONOTONIC);
  long failed = 0;
  for (long i = 0; i < count; ++i) failed += make(call, zero, file) < 0 ? 1 : 0;
  const double took = seconds_of(CLOCK_MONOTONIC) - began;
  const std::string line = fmt::format("{} {:.3f}\n", failed, took * 1e9 / static_cast<double>(count));
  (void)!::write(STDOUT_FILENO, line.data(), line.size());
  _exit(EXIT_SUCCESS);
}

/// ns per call; throws unless all of them failed.
double told_by(const test::Child& caller, long count) {
  const std::string line = caller.read_line();
  const auto space = line.find(' ');
  if (space == std::string::npos) throw std::runtime_error("a caller ended early");
  if (std::stol(line) != count) throw std::runtime_error(fmt::format("{} of {} calls failed", std::stol(line), count));
  return std::stod(line.substr(space));
}

/// A call of a process that no fault is about.
struct Untouched {
  std::string name;
  std::string call;              ///< empty: one that nothing is attached to
  double high;                   ///< of the ratio; 0: for information
  std::function<void()> work;    ///< kBatch of them
  std::function<void()> tidy{};  ///< not timed
  std::vector<double> off{};     ///< by round, ns of CPU time
  std::vector<double> control{};
  std::vector<double> on{};
};

struct Matched {
  std::string call;
  std::vector<double> chaosd{};
  std::vector<double> control{};
  std::vector<double> strace{};
  std::vector<double> seccomp{};
};

Summary ratio_of(const std::vector<double>& values, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
  return summarize(std::move(ratios));
}

class Bench {
 public:
  Bench(const Options& options, long traced) : options_(options), traced_(traced) {
    for (const char* call : kCalls) {
      const test::Response planned = daemon_.post("/api/chaos/plan", request(call));
      if (planned.status == 200) {
        matched_.push_back({.call = call});
        mechanisms_ += fmt::format("{}{}: {}", mechanisms_.empty() ? "" : "; ", call,
                                   planned.body.at("scenario").at("plan").at("mechanism").get<std::string>());
      } else {
        // `chaosctl features` says why.
        const std::string why = planned.body.value("detail", planned.text);
        notes_.push_back(why.substr(0, why.find(':')));
      }
    }
    add_untouched();
  }

  Report run() {
    for (unsigned round = 0; round < options_.rounds; ++round) measure_untouched(round);
    for (unsigned round = 0; round < options_.rounds; ++round) {
      for (Matched& one : matched_) measure_matched(one, round);
    }
    progress("");
    return report();
  }

 private:
  [[nodiscard]] json request(const std::string& calls) const {
    return {{"kind", "syscall_failure"},
            {"target", {{"cgroup", cgroup_.path()}}},
            {"parameters", {{"syscalls", calls}, {"errno", "EIO"}}},
            {"duration", "120s"}};
  }
  [[nodiscard]] std::string all_calls() const {
    std::string calls;
    for (const Matched& one : matched_) calls += (calls.empty() ? "" : ",") + one.call;
    return calls;
  }

  void add_untouched() {
    untouched_.push_back({"getppid", "", 1.02, [] {
                            for (unsigned i = 0; i < kBatch; ++i) (void)syscall(SYS_getppid);
                          }});
    untouched_.push_back({"read, 1 byte of /dev/zero", "read", 1.1, [this] {
                            char byte = 0;
                            for (unsigned i = 0; i < kBatch; ++i) (void)syscall(SYS_read, ground_.zero.get(), &byte, 1);
                          }});
    untouched_.push_back({"read, 4 KiB of a cached file", "read", 1.1,
                          [this] {
                            for (unsigned i = 0; i < kBatch; ++i) {
                              (void)syscall(SYS_read, ground_.cached.get(), page_.data(), page_.size());
                            }
                          },
                          [this] { (void)::lseek(ground_.cached.get(), 0, SEEK_SET); }});
    untouched_.push_back({"openat", "openat", 1.1,
                          [this] {
                            for (int& fd : open_) {
                              fd = static_cast<int>(
                                  syscall(SYS_openat, AT_FDCWD, ground_.file.c_str(), O_RDONLY | O_CLOEXEC, 0));
                            }
                          },
                          [this] { close_all(); }});
    untouched_.push_back({"socket", "socket", 0,
                          [this] {
                            for (int& fd : open_) {
                              fd = static_cast<int>(syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                            }
                          },
                          [this] { close_all(); }});
  }
  void close_all() {
    for (const int fd : open_) {
      if (fd < 0) throw std::runtime_error("a call of the untouched process failed");
      ::close(fd);
    }
  }

  /// ns of CPU time that one call takes: the median of all batches but the first, in which caches fill.
  [[nodiscard]] double time_of(const Untouched& one) const {
    const double began = seconds_of(CLOCK_MONOTONIC);
    std::vector<double> batches;
    double now = began;
    while (now < began + options_.seconds || batches.empty()) {
      const double before = seconds_of(CLOCK_THREAD_CPUTIME_ID);
      one.work();
      const double after = seconds_of(CLOCK_THREAD_CPUTIME_ID);
      if (one.tidy) one.tidy();
      now = seconds_of(CLOCK_MONOTONIC);
      if (now > began + options_.seconds / 4) batches.push_back((after - before) * 1e9 / kBatch);
    }
    return summarize(std::move(batches)).median;
  }

  void measure_untouched(unsigned round) {
    check_interrupted();
    progress(fmt::format("untouched: round {} of {}", round + 1, options_.rounds));
    for (const std::size_t which : round_order(3, round)) {
      std::string id;
      if (which == 2) id = test::id_of(daemon_.run_scenario(request(all_calls())));
      for (Untouched& one : untouched_) {
        (which == 0 ? one.off : which == 1 ? one.control : one.on).push_back(time_of(one));
      }
      if (!id.empty()) expect_injected(daemon_.stop_scenario(id), 0);
    }
  }

  static void expect_injected(const json& ended, long count) {
    const json& counters = ended.at("counters");
    if (counters.at("injected") != count) throw std::runtime_error("chaosd counts other calls: " + counters.dump());
    if (count == 0 && counters.at("evaluated") == 0) throw std::runtime_error("nothing was attached");
  }

  void measure_matched(Matched& one, unsigned round) {
    check_interrupted();
    progress(fmt::format("{} that fails: round {} of {}", one.call, round + 1, options_.rounds));
    for (const std::size_t which : round_order(4, round)) {
      switch (which) {
        case 0:
          one.chaosd.push_back(failed_by_chaosd(one.call));
          break;
        case 1:
          one.control.push_back(failed_by_chaosd(one.call));
          break;
        case 2:
          one.strace.push_back(failed_by_strace(one.call, ""));
          break;
        default:
          one.seccomp.push_back(failed_by_strace(one.call, "--seccomp-bpf "));
      }
    }
  }

  [[nodiscard]] double failed_by_chaosd(const std::string& call) const {
    const long count = traced_ * 20;
    const test::Child caller(self_, {"bench_syscalls", "--caller", call, std::to_string(count)});
    if (caller.read_line() != "ready") throw std::runtime_error("the caller did not start");
    cgroup_.add(caller.pid());
    const std::string id = test::id_of(daemon_.run_scenario(request(call)));
    const double took = told_by(caller, count);
    expect_injected(daemon_.stop_scenario(id), count + 1);
    return took;
  }

  /// The calls before the 300th are the program's start.
  [[nodiscard]] double failed_by_strace(const std::string& call, const std::string& mode) const {
    const std::string command = fmt::format(
        "exec strace -qq -f {0}-o /dev/null -e trace={1} -e inject={1}:error=EIO:when=300+ {2} --caller {1} {3}", mode,
        call, self_, traced_);
    const test::Child caller("/bin/sh", {"sh", "-c", command});
    if (caller.read_line() != "ready") throw std::runtime_error("strace did not start: " + command);
    return told_by(caller, traced_);
  }

  Report report() {
    Report report{.title = "bench_syscalls: what syscall_failure costs",
                  .setup = host_facts(),
                  .tables = {},
                  .targets = {},
                  .notes = std::move(notes_)};
    report.setup["rounds"] = options_.rounds;
    report.setup["seconds"] = options_.seconds;
    report.setup["mechanisms"] = mechanisms_;
    Table untouched("untouched", "A process that is no target: ns of CPU time a call, paired by round",
                    {{"call", "call"},
                     {"ns", "off"},
                     {"ratio", "on / off", 3},
                     {"p10", "p10", 3},
                     {"p90", "p90", 3},
                     {"control", "off again / off", 3},
                     {"control_p10", "p10", 3},
                     {"control_p90", "p90", 3}});
    for (const Untouched& one : untouched_) {
      const Summary on = ratio_of(one.on, one.off);
      const Summary control = ratio_of(one.control, one.off);
      untouched.add(
          {one.name, summarize(one.off).median, on.median, on.p10, on.p90, control.median, control.p10, control.p90});
      if (one.high > 0 && (one.call.empty() || can_fail(one.call))) {
        report.targets.push_back(
            {one.name + " of an untouched process, of what it takes without", on.median, 0, one.high, ""});
      }
    }
    report.tables.push_back(std::move(untouched));
    Table matched("matched", "A process all of whose calls fail: ns a call, paired by round",
                  {{"call", "call"},
                   {"chaosd_ns", "chaosd"},
                   {"control", "chaosd again / chaosd", 3},
                   {"strace_ns", "strace"},
                   {"strace_ratio", "/ chaosd", 1},
                   {"strace_p10", "p10", 1},
                   {"strace_p90", "p90", 1},
                   {"seccomp_ns", "strace --seccomp-bpf"},
                   {"seccomp_ratio", "/ chaosd", 1},
                   {"seccomp_p10", "p10", 1},
                   {"seccomp_p90", "p90", 1}});
    for (const Matched& one : matched_) {
      const Summary plain = ratio_of(one.strace, one.chaosd);
      const Summary seccomp = ratio_of(one.seccomp, one.chaosd);
      matched.add({one.call, summarize(one.chaosd).median, ratio_of(one.control, one.chaosd).median,
                   summarize(one.strace).median, plain.median, plain.p10, plain.p90, summarize(one.seccomp).median,
                   seccomp.median, seccomp.p10, seccomp.p90});
      if (one.call == "socket") continue;  // at a cgroup hook a socket has been made by then
      for (const auto& [name, ratio] : {std::pair("strace", plain), std::pair("strace --seccomp-bpf", seccomp)}) {
        report.targets.push_back({fmt::format("{} failed by {}, of chaosd's time", one.call, name), ratio.median, 20,
                                  std::numeric_limits<double>::infinity(), ""});
      }
    }
    report.tables.push_back(std::move(matched));
    report.notes.emplace_back("Every call of a matched process failed, and chaosd counts as many as the process.");
    return report;
  }
  [[nodiscard]] bool can_fail(const std::string& call) const {
    return std::ranges::any_of(matched_, [&](const Matched& one) { return one.call == call; });
  }

  const Options& options_;
  const long traced_;
  const std::string self_ = std::filesystem::read_symlink("/proc/self/exe").string();
  Ground ground_;
  std::array<char, kPage> page_{};
  std::array<int, kBatch> open_{};
  test::TestCgroup cgroup_{"bsyscalls"};
  test::Daemon daemon_;
  std::vector<Untouched> untouched_;
  std::vector<Matched> matched_;
  std::string mechanisms_;
  std::vector<std::string> notes_;
};

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  if (argc == 4 && std::string_view(argv[1]) == "--caller") return live_as_caller(argv[2], std::atol(argv[3]));
  long traced = 2000;
  return run_benchmark(
      argc, argv, "What syscall_failure costs: untouched processes, and matched ones beside strace --inject",
      {.rounds = 20, .seconds = 0.1, .json = false, .check = false},
      [&](CLI::App& app) {
        app.add_option("--traced", traced, "calls that fail by strace in each round; by chaosd twenty times as many")
            ->capture_default_str()
            ->check(CLI::Range(10, 1'000'000));
      },
      [&](const Options& options) { return Bench(options, traced).run(); });
}
