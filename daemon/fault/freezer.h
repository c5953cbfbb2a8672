// A target brought to a halt as a whole: by cgroup.freeze of the v2 tree, or by the freezer of v1 for targets that only
// v1 knows. Looks only; any thread.
#pragma once

#include "fault/cgroup_values.h"
#include "plan/process_reach.h"

namespace chaos {

/// Whether there is a freezer for all of the target, and for nobody else. Errors say why not: kUnsupported, kRefused,
/// kNotFound.
[[nodiscard]] Status can_freeze(const ProcessReach& reach);

/// `measured`: tells how many of the cgroups have come to a halt.
[[nodiscard]] CgroupValues::Meaning freeze(bool measured);

}  // namespace chaos
