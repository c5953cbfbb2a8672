// latency_injection: packets arrive later, by a delay line in user space and not by a qdisc.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kLatencyInjection;

struct DelayShape;
/// What cannot be honoured. Error: kInvalid.
Status check_delay(const DelayShape& shape);
/// A fault that holds all that matches for as long as `shape` says. Errors: as prepare_held().
Result<std::unique_ptr<Fault>> prepare_delay(const AdmittedPlan& admitted, const Mechanisms& mechanisms,
                                             DelayShape shape);

}  // namespace chaos
