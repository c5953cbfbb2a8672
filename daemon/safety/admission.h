// Admission: may this plan run now? A pure function of plan, policy and what is active; any thread. AdmittedPlan is
// the only thing that the injector accepts, and only admit() makes one: skipping safety does not compile.
#pragma once

#include <chrono>
#include <cstddef>

#include "base/result.h"
#include "config/config.h"
#include "plan/plan.h"

namespace chaos {

/// What runs already, and whether the brake is on.
struct ActiveSet {
  std::size_t running = 0;  ///< queued, active or being torn down
  bool latched = false;
  bool audit_broken = false;  ///< the audit log cannot be written
};

class AdmittedPlan {
 public:
  [[nodiscard]] const Plan& plan() const { return plan_; }

 private:
  friend Result<AdmittedPlan> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active);
  explicit AdmittedPlan(Plan plan) : plan_(std::move(plan)) {}
  Plan plan_;
};

/// Error: kRefused with field, rule, the number, its limit and what would fit.
[[nodiscard]] Result<AdmittedPlan> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active);

/// The rules of admit() that need no plan, for an early answer. Error: kRefused.
[[nodiscard]] Status check_brakes(const ActiveSet& active);

}  // namespace chaos
