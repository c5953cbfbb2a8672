// resource_exhaustion: see the kind's help and chaosd(8), "RESOURCE EXHAUSTION".
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kResourceExhaustion;

}  // namespace chaos
