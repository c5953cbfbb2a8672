// memory_limit(): a cgroup gets less memory than it has, by memory.high of the v2 tree: what is above is reclaimed, and
// who wants more waits. Nobody is killed. Looks only; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "fault/cgroup_values.h"

namespace chaos {

/// 1 - `level` of the memory that the cgroup has now. Tells how much it has, and how often it was held up.
[[nodiscard]] CgroupValues::Meaning memory_limit(Probability level);

/// The value of memory.high, in whole pages and 1 MiB at least, out of memory.current, and of memory.high and
/// memory.max as they read. Error: kRefused if one of these is tighter already.
[[nodiscard]] Result<std::string> lowered_memory_high(std::string_view current, std::string_view high,
                                                      std::string_view max, Probability level);

}  // namespace chaos
