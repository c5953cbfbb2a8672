// latency_injection: packets arrive later, by a delay line in user space and not by a qdisc.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kLatencyInjection;

}  // namespace chaos
