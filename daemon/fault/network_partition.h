// network_partition: a target and its peers no longer hear of each other.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kNetworkPartition;

}  // namespace chaos
