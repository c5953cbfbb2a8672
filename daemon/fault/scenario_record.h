// What a scenario's record says: of its plan when it begins, and how it ended. Pure but for record_of(), which reads
// the clock; any thread.
#pragma once

#include <string_view>

#include "base/result.h"
#include "plan/plan.h"
#include "plan/scenario.h"

namespace chaos {

/// What the plan says goes into the record.
void take_over(Scenario& record, const Plan& plan);
/// A new record, without an id.
[[nodiscard]] Scenario record_of(const Plan& plan, const Caller& caller);
/// What its counters count.
[[nodiscard]] std::string_view unit_of(const Scenario& record);
/// The state that goes with its reason to end.
[[nodiscard]] State final_state(const Scenario& record);
/// The reason to end for when a plan cannot be made or admitted at its turn.
[[nodiscard]] EndReason reason_of(const Error& error);

}  // namespace chaos
