// packet_loss: packets vanish as a lossy network would lose them; the sender's stack is not told.
#pragma once

#include "fault/kind.h"

namespace chaos {

extern const FaultKind kPacketLoss;

}  // namespace chaos
