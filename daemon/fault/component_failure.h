// component_failure: see the kind's help and chaosd(8), "COMPONENT FAILURE".
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kComponentFailure;

}  // namespace chaos
