// CpuUse: how much CPU time is used, by all or by a cgroup, as the kernel tells it to everybody. Reads files; one
// thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos {

/// Of one CPU, or of a cgroup on all CPUs, at a moment.
struct CpuTime {
  std::chrono::nanoseconds used{0};
  std::chrono::nanoseconds passed{0};  ///< time in which it could have been used, by a clock of its own
};

/// "cpu3 1 2 3 4 5 6 7 8 9 10": used is what was neither idle nor waiting for a disk, passed is the sum (proc(5)).
/// Error: kInternal if the CPU is not there.
[[nodiscard]] Result<CpuTime> cpu_time_in(std::string_view stat, unsigned cpu);

class CpuUse {
 public:
  /// Of these CPUs, each by itself.
  static CpuUse of_cpus(std::vector<unsigned> cpus, std::filesystem::path proc = "/proc");
  /// Of a cgroup with all below it: its cpu.stat (v2) or cpuacct.usage (v1); passed is CLOCK_MONOTONIC.
  static CpuUse of_cgroup(std::filesystem::path file);

  [[nodiscard]] Result<std::vector<CpuTime>> read() const;

 private:
  std::vector<unsigned> cpus_;
  std::filesystem::path file_;
};

}  // namespace chaos
