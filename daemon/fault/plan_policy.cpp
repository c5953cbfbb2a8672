#include "fault/plan_policy.h"

#include "fault/registry.h"
#include "plan/planner.h"

namespace chaos {

PlanPolicy::PlanPolicy(const Config& config, bool classic_tc)
    : testing_(config.chaos_testing), services_(config.services), protect_(config.protect), classic_tc_(classic_tc) {}

Result<Plan> PlanPolicy::plan(const ScenarioRequest& request) const {
  auto kind = find_kind(request.kind);
  if (!kind) return std::unexpected(kind.error());
  PlanDefaults defaults{.duration = testing_.default_duration,
                        .parameters = {},
                        .services = services_,
                        .protect = protect_,
                        .classic_tc = classic_tc_};
  const auto found = testing_.scenarios.find(request.kind);
  if (found != testing_.scenarios.end()) defaults.parameters = parameter_policy(found->second);
  add_scales(request.kind, request.parameters, testing_.resource_exhaustion, defaults.parameters);
  return make_plan((*kind)->spec, request, defaults);
}

}  // namespace chaos
