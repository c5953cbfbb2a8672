// Admission: may this plan run now? A pure function of plan, policy and what is active; any thread. AdmittedPlan is
// the only thing that the injector accepts, and only admit() makes one: skipping safety does not compile.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "config/config.h"
#include "plan/plan.h"

namespace chaos {

/// What holds everything back.
struct Brakes {
  bool latched = false;       ///< the emergency stop
  bool audit_broken = false;  ///< the audit log cannot be written
};

/// What runs and waits already.
struct ActiveSet {
  std::vector<Footprint> footprints{};  ///< of each that has a slot: being armed, active or being torn down
  std::size_t ahead = 0;                ///< how many wait for a slot before this one
  Brakes brakes{};
  WallTime now{};
};

class AdmittedPlan {
 public:
  [[nodiscard]] const Plan& plan() const { return plan_; }

 private:
  friend Result<std::optional<AdmittedPlan>> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active);
  explicit AdmittedPlan(Plan plan) : plan_(std::move(plan)) {}
  Plan plan_;
};

/// Empty: nothing but max_concurrent_scenarios stands in its way, so it may wait for its turn. Error: kRefused with
/// field, rule, the number, its limit and what would fit; kInvalid for a duration that is too short.
[[nodiscard]] Result<std::optional<AdmittedPlan>> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active);

/// The rules of admit() that need no plan, for an early answer. Error: kRefused.
[[nodiscard]] Status check_brakes(const Brakes& brakes);

/// Whether an admitted plan would be admitted by this policy as well, all but its turn and the hours: for a reload.
/// `others`: footprints of those that were there before it. Error: as admit().
[[nodiscard]] Status check_again(const Plan& plan, const ChaosTesting& policy, const std::vector<Footprint>& others);

}  // namespace chaos
