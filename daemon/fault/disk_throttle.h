// disk_throttle(): a cgroup reads and writes one disk at a bounded rate, by io.max of the v2 tree or blkio.throttle of
// v1. Looks only; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "fault/cgroup_values.h"
#include "kernel/block_device.h"

namespace chaos {

/// Reads and writes, each at `bytes_per_second` at most. A limit that is tighter already stays as it is. Tells how much
/// went through.
[[nodiscard]] CgroupValues::Meaning disk_throttle(const BlockDevice& disk, std::uint64_t bytes_per_second);

}  // namespace chaos
