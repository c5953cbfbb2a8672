// Files and directories as this host has them, whatever mounts of its own chaosd runs with (a unit's ProtectSystem=
// makes the file systems read-only for it, PrivateTmp= gives it another /tmp). Changes nothing; any thread; blocks on
// the file system. Needs CAP_SYS_PTRACE to see the mounts of PID 1; without it the own ones are used.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

/// Below the directory `root`, symbolic links included: one that leads to "/x" leads to the x of that root, and no ".."
/// leads out of it. Invalid, with errno set, if it is not there. `flags` as open(2) has them, with O_PATH or
/// O_DIRECTORY. As openat2(2) with RESOLVE_IN_ROOT, which systemd denies a unit with RestrictSUIDSGID= (ENOSYS).
[[nodiscard]] UniqueFd open_within(int root, const std::string& path, int flags);

/// Absolute, as a process of the host would mean it. Errors: kInvalid (not absolute, no directory), kNotFound; field
/// `parameters.path`.
[[nodiscard]] Result<UniqueFd> open_host_directory(const std::string& path);

/// Whatever the path leads to (a file, a directory, a device), opened with O_PATH: to ask about, not to read. Errors
/// and field as above, but that it need not be a directory.
[[nodiscard]] Result<UniqueFd> open_host_path(const std::string& path);

/// How full a file system is, as df(1) has it: what is reserved for root counts neither as used nor as there.
struct FileSystemSpace {
  std::uint64_t used = 0;  ///< bytes
  std::uint64_t left = 0;  ///< bytes, for those who are not root
  std::uint64_t unit = 0;  ///< bytes in a block
  [[nodiscard]] std::uint64_t whole() const { return used + left; }
};
/// Of the file system that the descriptor is on. Error: kInternal.
[[nodiscard]] Result<FileSystemSpace> space_of(int fd);

/// True for tmpfs and ramfs, whose files are the host's memory. Error: kInternal.
[[nodiscard]] Result<bool> is_memory(int fd);

/// The device of the file system; 0 if it cannot be told.
[[nodiscard]] dev_t device_of(int fd);

}  // namespace chaos
