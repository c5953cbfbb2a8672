// resource_exhaustion, disk fill and io_load: a file without a name that takes a file system's room, or is written to.
#pragma once

#include "fault/load_workers.h"

namespace chaos {

extern const LoadMeans kDiskFill;
extern const LoadMeans kDiskWrite;

}  // namespace chaos
