#include "telemetry/process_group.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "base/contains.h"
#include "kernel/cgroup.h"
#include "kernel/proc_tree.h"

namespace chaos {

namespace fs = std::filesystem;
using std::string_view;

/// One file of a cgroup and what is read from it.
struct CgroupFile {
  string_view controller;  ///< v1; empty: v2
  string_view file;
  const MetricSpec GroupMetrics::*metric;
  std::optional<std::uint64_t> (*parse)(string_view);
  string_view resource{};
};

namespace {

constexpr std::uint64_t kNsPerUs = 1000;

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

constexpr CgroupFile kFiles[] = {
    {"", "cpu.stat", &GroupMetrics::cpu, [](string_view text) { return keyed_number(text, "usage_usec"); }},
    {"", "cpu.stat", &GroupMetrics::throttled, [](string_view text) { return keyed_number(text, "throttled_usec"); }},
    {"", "memory.current", &GroupMetrics::memory, only_number},
    {"", "memory.events", &GroupMetrics::oom_kills, [](string_view text) { return keyed_number(text, "oom_kill"); }},
    {"", "pids.current", &GroupMetrics::tasks, only_number},
    {"", "io.stat", &GroupMetrics::read, [](string_view text) { return io_sum(text, "rbytes="); }},
    {"", "io.stat", &GroupMetrics::written, [](string_view text) { return io_sum(text, "wbytes="); }},
    {"", "cpu.pressure", &GroupMetrics::waiting, waited_us, "cpu"},
    {"", "memory.pressure", &GroupMetrics::waiting, waited_us, "memory"},
    {"", "io.pressure", &GroupMetrics::waiting, waited_us, "io"},
    {"cpuacct", "cpuacct.usage", &GroupMetrics::cpu, us_of_ns},
    {"cpu", "cpu.stat", &GroupMetrics::throttled,
     [](string_view text) {
       const auto ns = keyed_number(text, "throttled_time");
       return ns ? std::optional(*ns / kNsPerUs) : std::nullopt;
     }},
    {"memory", "memory.usage_in_bytes", &GroupMetrics::memory, only_number},
    {"memory", "memory.oom_control", &GroupMetrics::oom_kills,
     [](string_view text) { return keyed_number(text, "oom_kill"); }},
    {"pids", "pids.current", &GroupMetrics::tasks, only_number},
    {"blkio", "blkio.throttle.io_service_bytes", &GroupMetrics::read,
     [](string_view text) { return blkio_sum(text, "Read"); }},
    {"blkio", "blkio.throttle.io_service_bytes", &GroupMetrics::written,
     [](string_view text) { return blkio_sum(text, "Write"); }},
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

}  // namespace

ProcessGroup::ProcessGroup(const GroupMetrics& metrics, const TelemetryRoots& roots, std::vector<std::string> labels,
                           std::vector<pid_t> pids, std::vector<std::string> cgroups)
    : metrics_(metrics), labels_(std::move(labels)), pids_(std::move(pids)), cgroups_(std::move(cgroups)) {
  if (pids_.size() <= kMostProcesses) {
    for (const pid_t pid : pids_) stats_.emplace_back(roots.proc / std::to_string(pid) / "stat");
  }
  std::string buffer;
  const auto tree = CgroupTree::find(roots.mounts);
  for (const std::string& cgroup : cgroups_) {
    if (!tree || cgroup.size() < 2) continue;
    const fs::path directory = tree->mount_point() / cgroup.substr(1);
    for (const CgroupFile& file : kFiles) {
      if (!file.controller.empty()) continue;
      // Some of a file's numbers are there with a controller only, which may be one of v1.
      Reading reading{&file, SampledFile(directory / file.file)};
      const auto text = reading.file.read(buffer);
      if (text && file.parse(*text)) readings_.push_back(std::move(reading));
    }
  }
  if (!pids_.empty()) watch_v1(roots);
}

/// What the v2 tree does not count, where the group has a cgroup of its own in v1.
void ProcessGroup::watch_v1(const TelemetryRoots& roots) {
  const auto mounts = v1_mounts(roots.mounts);
  const auto paths = v1_paths(roots.proc, pids_.front());
  std::vector<Reading> more;
  for (const CgroupFile& file : kFiles) {
    const auto mount = mounts.find(file.controller);
    const auto path = paths.find(file.controller);
    if (file.controller.empty() || mount == mounts.end() || path == paths.end()) continue;
    const bool known =
        std::ranges::any_of(readings_, [&](const Reading& other) { return other.what->metric == file.metric; });
    const fs::path directory = mount->second / path->second.substr(1);
    if (known || !has_only(directory, pids_)) continue;
    more.push_back({&file, SampledFile(directory / file.file)});
  }
  std::ranges::move(more, std::back_inserter(readings_));
}

void ProcessGroup::collect(Registry& registry, std::string& buffer) {
  collect_processes(registry, buffer);
  collect_cgroups(registry, buffer);
}

void ProcessGroup::set(Registry& registry, const MetricSpec& metric, std::int64_t value, string_view more) const {
  std::vector<string_view> labels(labels_.begin(), labels_.end());
  if (!more.empty()) labels.push_back(more);
  registry.set(metric, labels, value);
}

void ProcessGroup::collect_processes(Registry& registry, std::string& buffer) {
  static const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (pids_.size() > kMostProcesses) {
    set(registry, metrics_.up, 1);
    return set(registry, metrics_.processes, static_cast<std::int64_t>(pids_.size()));
  }
  std::uint64_t living = 0;
  std::uint64_t ticks = 0;
  std::uint64_t pages = 0;
  for (SampledFile& file : stats_) {
    // ESRCH: it has ended since the services were looked at.
    const auto text = file.read(buffer);
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
  set(registry, metrics_.up, living > 0 ? 1 : 0);
  set(registry, metrics_.processes, static_cast<std::int64_t>(living));
  if (living == 0) return;
  set(registry, metrics_.process_cpu, static_cast<std::int64_t>(ticks));
  set(registry, metrics_.process_memory, static_cast<std::int64_t>(pages * page_size));
}

void ProcessGroup::collect_cgroups(Registry& registry, std::string& buffer) {
  std::map<std::pair<const MetricSpec*, string_view>, std::uint64_t> sums;
  for (Reading& reading : readings_) {
    const auto text = reading.file.read(buffer);
    const auto value = text ? reading.what->parse(*text) : std::nullopt;
    if (value) sums[{&(metrics_.*reading.what->metric), reading.what->resource}] += *value;
  }
  for (const auto& [what, sum] : sums) set(registry, *what.first, static_cast<std::int64_t>(sum), what.second);
}

}  // namespace chaos
