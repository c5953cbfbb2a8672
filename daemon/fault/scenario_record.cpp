#include "fault/scenario_record.h"

#include "base/clock.h"
#include "fault/registry.h"

namespace chaos {

void take_over(Scenario& record, const Plan& plan) {
  record.request = plan.request;
  record.plan = plan.summary;
  record.warnings = plan.warnings;
}

Scenario record_of(const Plan& plan, const Caller& caller) {
  Scenario record;
  take_over(record, plan);
  record.owner = caller;
  record.created_at = system_clock().wall();
  return record;
}

std::string_view unit_of(const Scenario& record) {
  const auto kind = find_kind(record.request.kind);
  return kind ? (*kind)->spec.unit : "event";
}

State final_state(const Scenario& record) {
  switch (record.end_reason) {
    case EndReason::kExpired:
    case EndReason::kStopped:
      return record.started_at ? State::kCompleted : State::kAborted;
    case EndReason::kEmergencyStop:
    case EndReason::kStopCondition:
    case EndReason::kLimit:
      return State::kAborted;
    default:
      return State::kFailed;
  }
}

EndReason reason_of(const Error& error) {
  if (error.code == Errc::kRefused) return EndReason::kLimit;
  return error.code == Errc::kNotFound ? EndReason::kTargetGone : EndReason::kError;
}

}  // namespace chaos
