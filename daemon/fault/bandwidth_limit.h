// bandwidth_limit: the target's path is as fast as a link of some rate with a bounded queue in front of it.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kBandwidthLimit;

}  // namespace chaos
