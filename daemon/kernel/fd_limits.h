// The soft limit of open files of other processes (RLIMIT_NOFILE, prlimit(2)), known for certain by number and start.
// Any thread. Processes of other users, or with capabilities, need CAP_SYS_RESOURCE.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/result.h"
#include "kernel/processes.h"

namespace chaos {

struct FdLimits {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  friend bool operator==(const FdLimits&, const FdLimits&) = default;
};

/// Errors: kNotFound (it has ended), kRefused (not permitted), kInternal.
[[nodiscard]] Result<FdLimits> fd_limits(const ProcessId& process);
/// The soft limit from `from.soft` to `soft`; the hard one stays. False, and nothing is changed, if it is another than
/// `from` by now. Errors: as above.
Result<bool> change_fd_limit(const ProcessId& process, const FdLimits& from, std::uint64_t soft);

/// How many it has open. Empty if it has ended.
[[nodiscard]] std::optional<std::uint64_t> open_fds(pid_t pid, const std::filesystem::path& proc = "/proc");

}  // namespace chaos
