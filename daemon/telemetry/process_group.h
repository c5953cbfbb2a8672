// ProcessGroup: what a service or a target uses: its processes, and the cgroups that are its alone, v2 or v1
// (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/). Holds their files open. The sampler's thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "telemetry/collector.h"
#include "telemetry/registry.h"
#include "telemetry/sampled_file.h"

namespace chaos {

struct CgroupFile;

/// What is shown of it; all with the same labels, `waiting` with "resource" after them.
struct GroupMetrics {
  MetricSpec up;
  MetricSpec processes;
  MetricSpec process_cpu;
  MetricSpec process_memory;
  MetricSpec cpu;
  MetricSpec throttled;
  MetricSpec memory;
  MetricSpec oom_kills;
  MetricSpec tasks;
  MetricSpec read;
  MetricSpec written;
  MetricSpec waiting;
};

class ProcessGroup {
 public:
  /// Of more processes than this only the number is shown.
  static constexpr std::size_t kMostProcesses = 512;

  /// `cgroups`: of the v2 tree, the group's alone. `metrics` must outlive it.
  ProcessGroup(const GroupMetrics& metrics, const TelemetryRoots& roots, std::vector<std::string> labels,
               std::vector<pid_t> pids, std::vector<std::string> cgroups);

  [[nodiscard]] bool is(const std::vector<pid_t>& pids, const std::vector<std::string>& cgroups) const {
    return pids_ == pids && cgroups_ == cgroups;
  }
  /// `buffer`: kept by the caller, so that a round allocates nothing.
  void collect(Registry& registry, std::string& buffer);

 private:
  struct Reading {
    const CgroupFile* what;
    SampledFile file;
  };
  void watch_v1(const TelemetryRoots& roots);
  void collect_processes(Registry& registry, std::string& buffer);
  void collect_cgroups(Registry& registry, std::string& buffer);
  void set(Registry& registry, const MetricSpec& metric, std::int64_t value, std::string_view more = {}) const;

  const GroupMetrics& metrics_;
  std::vector<std::string> labels_;
  std::vector<pid_t> pids_;
  std::vector<std::string> cgroups_;
  std::vector<SampledFile> stats_;  ///< /proc/PID/stat; an open one is that process's for good
  std::vector<Reading> readings_;
};

}  // namespace chaos
