// packet_duplication and packet_corruption: packets that arrive twice, and packets that arrive with a flipped bit.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kPacketDuplication;
extern const FaultKind kPacketCorruption;

}  // namespace chaos
