// resource_exhaustion, memory pressure: memory that is held by a worker, of the host's or of what a target's cgroup may
// have.
#pragma once

#include "fault/load_workers.h"

namespace chaos {

extern const LoadMeans kMemoryPressure;

}  // namespace chaos
