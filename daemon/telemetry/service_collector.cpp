// The configured services: their processes, and the cgroups that are theirs alone, v2 or v1
// (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "base/contains.h"
#include "kernel/cgroup.h"
#include "kernel/proc_tree.h"
#include "telemetry/collector.h"
#include "telemetry/sampled_file.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;
using std::string_view;

constexpr std::uint32_t kUserHz = 100;
constexpr std::uint32_t kMicro = 1'000'000;
constexpr std::uint64_t kNsPerUs = 1000;

constexpr MetricSpec of_service(string_view name, MetricType type, string_view unit, std::uint32_t scale,
                                string_view help) {
  return {name, type, unit, scale, help, {"service"}};
}
constexpr auto kCounter = MetricType::kCounter;
constexpr auto kGauge = MetricType::kGauge;

constexpr MetricSpec kUp = of_service("chaosd_service_up", kGauge, "", 1, "1: processes of the service run.");
constexpr MetricSpec kProcesses = of_service("chaosd_service_processes", kGauge, "", 1, "Processes of the service.");
constexpr MetricSpec kProcessCpu = of_service("chaosd_service_process_cpu_seconds", kGauge, "seconds", kUserHz,
                                              "CPU time of the service's processes that live now.");
constexpr MetricSpec kProcessMemory =
    of_service("chaosd_service_process_resident_bytes", kGauge, "bytes", 1,
               "Resident memory of the service's processes, what they share counted each time.");

constexpr MetricSpec kCpu =
    of_service("chaosd_service_cpu_seconds_total", kCounter, "seconds", kMicro, "CPU time of the service's cgroup.");
constexpr MetricSpec kThrottled = of_service("chaosd_service_cpu_throttled_seconds_total", kCounter, "seconds", kMicro,
                                             "Time in which the cgroup's CPU limit held it back.");
constexpr MetricSpec kMemory =
    of_service("chaosd_service_memory_bytes", kGauge, "bytes", 1, "Memory of the service's cgroup, with page cache.");
constexpr MetricSpec kOomKills = of_service("chaosd_service_oom_kills_total", kCounter, "", 1,
                                            "Processes of the cgroup that the kernel killed for memory.");
constexpr MetricSpec kTasks = of_service("chaosd_service_tasks", kGauge, "", 1, "Threads in the service's cgroup.");
constexpr MetricSpec kRead =
    of_service("chaosd_service_io_read_bytes_total", kCounter, "bytes", 1, "Bytes that the cgroup read from devices.");
constexpr MetricSpec kWritten = of_service("chaosd_service_io_written_bytes_total", kCounter, "bytes", 1,
                                           "Bytes that the cgroup wrote to devices.");
constexpr MetricSpec kWaiting{"chaosd_service_pressure_waiting_seconds_total",
                              kCounter,
                              "seconds",
                              kMicro,
                              "Time in which some task of the cgroup waited for the resource (PSI some).",
                              {"service", "resource"}};

using Parse = std::optional<std::uint64_t> (*)(string_view);

std::optional<std::uint64_t> only_number(string_view text) { return Words(text).number(); }
std::optional<std::uint64_t> us_of_ns(string_view text) {
  const auto ns = only_number(text);
  return ns ? std::optional(*ns / kNsPerUs) : std::nullopt;
}
std::optional<std::uint64_t> waited_us(string_view text) {
  const string_view some = text.substr(0, text.find('\n'));
  const auto total = some.rfind("total=");
  if (!some.starts_with("some") || total == string_view::npos) return std::nullopt;
  return whole_number(some.substr(total + 6));
}

/// Sum of "KEY=N" over the devices of io.stat.
template <std::size_t N>
std::optional<std::uint64_t> io_sum(string_view text, const char (&key)[N]) {
  std::uint64_t sum = 0;
  for (std::size_t at = text.find(key); at != string_view::npos; at = text.find(key, at + 1)) {
    const string_view rest = text.substr(at + N - 1);
    sum += whole_number(rest.substr(0, rest.find_first_of(" \n"))).value_or(0);
  }
  return sum;
}

/// Sum of the lines "MAJOR:MINOR Read N" of blkio.throttle.io_service_bytes.
std::optional<std::uint64_t> blkio_sum(string_view text, string_view operation) {
  std::uint64_t sum = 0;
  Words lines(text);
  while (const auto line = lines.line()) {
    Words words(*line);
    (void)words.word();
    if (words.word() == operation) sum += words.number().value_or(0);
  }
  return sum;
}

/// One file of a cgroup and what is read from it.
struct CgroupFile {
  string_view controller;  ///< v1; empty: v2
  string_view file;
  const MetricSpec* metric;
  Parse parse;
  string_view resource{};
};

constexpr CgroupFile kFiles[] = {
    {"", "cpu.stat", &kCpu, [](string_view text) { return keyed_number(text, "usage_usec"); }},
    {"", "cpu.stat", &kThrottled, [](string_view text) { return keyed_number(text, "throttled_usec"); }},
    {"", "memory.current", &kMemory, only_number},
    {"", "memory.events", &kOomKills, [](string_view text) { return keyed_number(text, "oom_kill"); }},
    {"", "pids.current", &kTasks, only_number},
    {"", "io.stat", &kRead, [](string_view text) { return io_sum(text, "rbytes="); }},
    {"", "io.stat", &kWritten, [](string_view text) { return io_sum(text, "wbytes="); }},
    {"", "cpu.pressure", &kWaiting, waited_us, "cpu"},
    {"", "memory.pressure", &kWaiting, waited_us, "memory"},
    {"", "io.pressure", &kWaiting, waited_us, "io"},
    {"cpuacct", "cpuacct.usage", &kCpu, us_of_ns},
    {"cpu", "cpu.stat", &kThrottled,
     [](string_view text) {
       const auto ns = keyed_number(text, "throttled_time");
       return ns ? std::optional(*ns / kNsPerUs) : std::nullopt;
     }},
    {"memory", "memory.usage_in_bytes", &kMemory, only_number},
    {"memory", "memory.oom_control", &kOomKills, [](string_view text) { return keyed_number(text, "oom_kill"); }},
    {"pids", "pids.current", &kTasks, only_number},
    {"blkio", "blkio.throttle.io_service_bytes", &kRead, [](string_view text) { return blkio_sum(text, "Read"); }},
    {"blkio", "blkio.throttle.io_service_bytes", &kWritten, [](string_view text) { return blkio_sum(text, "Write"); }},
};

/// Where the v1 hierarchies are mounted, by controller.
std::map<std::string, fs::path, std::less<>> v1_mounts(const fs::path& mounts) {
  std::map<std::string, fs::path, std::less<>> found;
  std::ifstream file(mounts);
  for (std::string device, point, type, options; file >> device >> point >> type >> options;) {
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    if (type != "cgroup") continue;
    string_view rest = options;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      found.emplace(rest.substr(0, comma), point);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return found;
}

/// By controller: the path in its v1 hierarchy, of /proc/PID/cgroup. Roots are nobody's own and left out.
std::map<std::string, std::string, std::less<>> v1_paths(const fs::path& proc, pid_t pid) {
  std::map<std::string, std::string, std::less<>> paths;
  const std::string text = proc::read_record(proc / std::to_string(pid) / "cgroup").value_or("");
  Words lines(text);
  while (const auto line = lines.line()) {
    const std::size_t first = line->find(':');
    const std::size_t second = first == string_view::npos ? first : line->find(':', first + 1);
    if (second == string_view::npos) continue;
    const string_view path = line->substr(second + 1);
    string_view controllers = line->substr(first + 1, second - first - 1);
    if (path == "/") continue;
    while (!controllers.empty()) {
      const std::size_t comma = std::min(controllers.find(','), controllers.size());
      paths.emplace(controllers.substr(0, comma), path);
      controllers.remove_prefix(std::min(comma + 1, controllers.size()));
    }
  }
  return paths;
}

/// No other process is in it.
bool has_only(const fs::path& directory, const std::vector<pid_t>& pids) {
  std::ifstream procs(directory / "cgroup.procs");
  if (!procs) return false;
  for (pid_t pid = 0; procs >> pid;) {
    if (!contains(pids, pid)) return false;
  }
  return true;
}

class ServiceCollector final : public Collector {
 public:
  explicit ServiceCollector(TelemetryRoots roots)
      : roots_(std::move(roots)), page_size_(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))) {}
  [[nodiscard]] string_view name() const override { return "services"; }

  void see_services(const std::vector<ServiceState>& services) override {
    std::map<std::string, Watched> now;
    for (const ServiceState& service : services) {
      const auto last = watched_.find(service.name);
      const bool same =
          last != watched_.end() && last->second.pids == service.pids && last->second.cgroups == service.cgroups;
      now.emplace(service.name, same ? std::move(last->second) : watch(service));
    }
    watched_ = std::move(now);
  }

  Status collect(Registry& registry) override {
    for (auto& [name, service] : watched_) {
      collect_processes(name, service, registry);
      collect_cgroups(name, service, registry);
    }
    return {};
  }

 private:
  struct Reading {
    const CgroupFile* what;
    SampledFile file;
  };
  struct Watched {
    std::vector<pid_t> pids;
    std::vector<std::string> cgroups;
    std::vector<SampledFile> stats;  ///< /proc/PID/stat; an open one is that process's for good
    std::vector<Reading> readings;
  };

  [[nodiscard]] Watched watch(const ServiceState& service) const {
    Watched watched{service.pids, service.cgroups, {}, {}};
    for (const pid_t pid : service.pids) watched.stats.emplace_back(roots_.proc / std::to_string(pid) / "stat");
    std::error_code ignored;
    const auto tree = CgroupTree::find(roots_.mounts);
    for (const std::string& cgroup : service.cgroups) {
      if (!tree || cgroup.size() < 2) continue;
      const fs::path directory = tree->mount_point() / cgroup.substr(1);
      for (const CgroupFile& file : kFiles) {
        if (!file.controller.empty() || !fs::exists(directory / file.file, ignored)) continue;
        watched.readings.push_back({&file, SampledFile(directory / file.file)});
      }
    }
    if (!service.pids.empty()) watch_v1(service, watched);
    return watched;
  }

  /// What the v2 tree does not count, where the service has a cgroup of its own in v1.
  void watch_v1(const ServiceState& service, Watched& watched) const {
    const auto mounts = v1_mounts(roots_.mounts);
    const auto paths = v1_paths(roots_.proc, service.pids.front());
    std::vector<Reading> more;
    for (const CgroupFile& file : kFiles) {
      const auto mount = mounts.find(file.controller);
      const auto path = paths.find(file.controller);
      if (file.controller.empty() || mount == mounts.end() || path == paths.end()) continue;
      const bool known = std::ranges::any_of(watched.readings,
                                             [&](const Reading& other) { return other.what->metric == file.metric; });
      const fs::path directory = mount->second / path->second.substr(1);
      if (known || !has_only(directory, service.pids)) continue;
      more.push_back({&file, SampledFile(directory / file.file)});
    }
    std::ranges::move(more, std::back_inserter(watched.readings));
  }

  void collect_processes(const std::string& name, Watched& service, Registry& registry) {
    std::uint64_t living = 0;
    std::uint64_t ticks = 0;
    std::uint64_t pages = 0;
    for (SampledFile& file : service.stats) {
      // ESRCH: it has ended since the services were looked at.
      const auto text = file.read(buffer_);
      const std::size_t end = text ? text->rfind(')') : string_view::npos;
      if (end == string_view::npos) continue;
      Words words(text->substr(end + 1));
      // proc(5): 3 state, 14 utime, 15 stime, 24 rss.
      const string_view state = words.word();
      if (state == "Z" || state == "X") continue;
      for (int column = 4; column < 14; ++column) (void)words.word();
      const auto user = words.number();
      const auto system = words.number();
      for (int column = 16; column < 24; ++column) (void)words.word();
      const auto resident = words.number();
      if (!user || !system || !resident) continue;
      ++living;
      ticks += *user + *system;
      pages += *resident;
    }
    registry.set(kUp, {name}, living > 0 ? 1 : 0);
    registry.set(kProcesses, {name}, static_cast<std::int64_t>(living));
    if (living == 0) return;
    registry.set(kProcessCpu, {name}, static_cast<std::int64_t>(ticks));
    registry.set(kProcessMemory, {name}, static_cast<std::int64_t>(pages * page_size_));
  }

  void collect_cgroups(const std::string& name, Watched& service, Registry& registry) {
    std::map<std::pair<const MetricSpec*, string_view>, std::uint64_t> sums;
    for (Reading& reading : service.readings) {
      const auto text = reading.file.read(buffer_);
      const auto value = text ? reading.what->parse(*text) : std::nullopt;
      if (value) sums[{reading.what->metric, reading.what->resource}] += *value;
    }
    for (const auto& [what, sum] : sums) {
      if (what.second.empty()) {
        registry.set(*what.first, {name}, static_cast<std::int64_t>(sum));
      } else {
        registry.set(*what.first, {name, what.second}, static_cast<std::int64_t>(sum));
      }
    }
  }

  const TelemetryRoots roots_;
  const std::uint64_t page_size_;
  std::map<std::string, Watched> watched_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Collector> make_service_collector(const TelemetryRoots& roots) {
  return std::make_unique<ServiceCollector>(roots);
}

}  // namespace chaos
