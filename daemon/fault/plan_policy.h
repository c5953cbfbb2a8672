// PlanPolicy: what the configuration contributes to plans. Not changed once made, so that plans in the making keep the
// one that they began with. Any thread.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "plan/plan.h"

namespace chaos {

class PlanPolicy {
 public:
  /// `classic_tc`: packet faults are attached by classic tc.
  PlanPolicy(const Config& config, bool classic_tc);

  /// The whole way from a request to a plan; changes nothing. Blocks: worker thread. Errors: kInvalid with the field,
  /// kNotFound (target), kRefused, kUnsupported.
  [[nodiscard]] Result<Plan> plan(const ScenarioRequest& request) const;

 private:
  ChaosTesting testing_;
  std::map<std::string, Service> services_;
  Protect protect_;
  bool classic_tc_;
};

}  // namespace chaos
