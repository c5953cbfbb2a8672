// Answers: what a target sends from the ports that it serves on, for kinds that are aimed at that. Looks at /proc;
// worker thread.
#pragma once

#include "base/result.h"
#include "plan/plan.h"
#include "plan/services.h"

namespace chaos {

/// For such a kind: egress, where the target names no direction.
void mean_answers(const KindSpec& kind, const TargetKeys& target, NetFilter& filter);

/// For such a kind: the plan's filter is narrowed to the ports of the service, as configured, and those on which the
/// target's processes listen for TCP, where the target names no local-port. Error: kNotFound if there are none.
Status find_answering_ports(const KindSpec& kind, const TargetKeys& target, const ServiceConfigs& services, Plan& plan);

}  // namespace chaos
