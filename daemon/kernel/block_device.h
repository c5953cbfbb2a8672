// The disk that a path is on. Looks at the file system, the mounts and /sys; any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace chaos {

struct BlockDevice {
  std::string numbers;  ///< "8:0", as cgroup files name it
  std::string name;     ///< "sda"
};

/// The whole disk (limits are a disk's, not a partition's) of the file system that `path` is on, or that `path` is the
/// device file of; as the host has it (host_path.h). Errors: kInvalid (not absolute), kNotFound, kUnsupported (a file
/// system without a device: tmpfs, overlay, NFS).
[[nodiscard]] Result<BlockDevice> disk_of(const std::string& path);

}  // namespace chaos
