#include "kernel/fd_limits.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <system_error>

#include "kernel/process_handle.h"

namespace chaos {
namespace {

/// prlimit(2) goes by number alone, an instant after the pidfd has told who has it.
Result<FdLimits> exchange(const ProcessId& process, const FdLimits* limits) {
  const auto handle = ProcessHandle::open(process);
  if (!handle) return std::unexpected(handle.error());
  rlimit now{};
  rlimit wanted{};
  if (limits != nullptr) wanted = {limits->soft, limits->hard};
  if (::prlimit(process.pid, RLIMIT_NOFILE, limits != nullptr ? &wanted : nullptr, &now) == 0) {
    return FdLimits{now.rlim_cur, now.rlim_max};
  }
  if (errno == ESRCH) return fail(Errc::kNotFound, fmt::format("process {} has ended", process.pid));
  if (errno != EPERM) return fail_errno(fmt::format("limit the open files of process {}", process.pid));
  return fail(Errc::kRefused, fmt::format("the limits of process {} may not be changed", process.pid), "target",
              "CAP_SYS_RESOURCE, or a process of chaosd's own user", "run chaosd with CAP_SYS_RESOURCE");
}

}  // namespace

Result<FdLimits> fd_limits(const ProcessId& process) { return exchange(process, nullptr); }

Result<bool> change_fd_limit(const ProcessId& process, const FdLimits& from, std::uint64_t soft) {
  const auto seen = exchange(process, nullptr);
  if (!seen) return std::unexpected(seen.error());
  if (*seen != from) return false;
  const FdLimits wanted{soft, from.hard};
  const auto was = exchange(process, &wanted);
  if (!was) return std::unexpected(was.error());
  if (*was == from) return true;
  // Changed between the look and the change: theirs, so it goes back.
  if (const auto back = exchange(process, &*was); !back) return std::unexpected(back.error());
  return false;
}

std::optional<std::uint64_t> open_fds(pid_t pid, const std::filesystem::path& proc) {
  std::error_code error;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator entry(proc / std::to_string(pid) / "fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++count;
  }
  return error ? std::nullopt : std::optional(count);
}

}  // namespace chaos
