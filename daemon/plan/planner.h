// Planner: request → plan. Resolves names against this host and changes nothing. Blocks (netlink, name look-ups,
// namespaces): worker thread only.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "plan/plan.h"

namespace chaos {

/// What the configuration contributes to a plan.
struct PlanDefaults {
  std::chrono::nanoseconds duration = std::chrono::seconds(300);
  ParameterPolicy parameters;  ///< of the requested kind
  std::map<std::string, Service> services;
  Protect protect;
  bool classic_tc = false;  ///< packet programs are attached by clsact: journaled
};

/// Errors: kInvalid with the field, kNotFound (target), kUnsupported (target key or kind that this version or host
/// cannot serve), kRefused (parameter outside the configured bounds).
[[nodiscard]] Result<Plan> make_plan(const KindSpec& kind, const ScenarioRequest& request,
                                     const PlanDefaults& defaults);

}  // namespace chaos
