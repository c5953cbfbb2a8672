// Limits of cgroups, tightened: how much CPU time their processes get, and how many tasks they may be. For v2 and v1,
// where the files differ. Looks only; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "fault/cgroup_values.h"
#include "plan/process_reach.h"

namespace chaos {

/// CPU time is cut by `level` of what the cgroup may use now, of all CPUs if nothing limits it: cpu.max, or
/// cpu.cfs_quota_us. Tells in how many periods it was held up.
[[nodiscard]] CgroupValues::Meaning cpu_throttle(Probability level);
/// The number of tasks is limited to 1 - `level` of those that there are now: pids.max. Tells how many forks failed.
[[nodiscard]] CgroupValues::Meaning task_limit(Probability level);

/// The quota of cpu.max, in µs a period, for what it reads ("max 100000") on so many CPUs: at least 1 ms, the least
/// that the kernel takes. Error: kInternal for what is no cpu.max.
[[nodiscard]] Result<std::string> throttled_cpu_max(std::string_view before, Probability level, unsigned cpus);
/// The same for cpu.cfs_quota_us ("-1": no limit) of v1.
[[nodiscard]] Result<std::string> throttled_cfs_quota(std::string_view quota, std::string_view period,
                                                      Probability level, unsigned cpus);
/// The limit of tasks, out of pids.current and pids.max. Error: kRefused if there is a tighter one already.
[[nodiscard]] Result<std::string> lowered_pids_max(std::string_view current, std::string_view before,
                                                   Probability level);

}  // namespace chaos
