#include "kernel/process_handle.h"

#include <fmt/format.h>
#include <poll.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

namespace chaos {

Result<ProcessHandle> ProcessHandle::open(const ProcessId& id) {
  UniqueFd pidfd(::pidfd_open(id.pid, 0));
  // Looked at behind the pidfd: while that is open and the process lives, the number is nobody else's.
  if (pidfd.valid() && start_ticks(id.pid) == id.start_ticks) return ProcessHandle(id, std::move(pidfd));
  if (!pidfd.valid() && errno != ESRCH) return fail_errno(fmt::format("open a pidfd of process {}", id.pid));
  return fail(Errc::kNotFound, fmt::format("process {} has ended", id.pid));
}

Status ProcessHandle::signal(int signo) const {
  if (::pidfd_send_signal(pidfd_.get(), signo, nullptr, 0) == 0) return {};
  if (errno == ESRCH) return fail(Errc::kNotFound, fmt::format("process {} has ended", id_.pid));
  return fail_errno(fmt::format("send signal {} to process {}", signo, id_.pid));
}

bool ProcessHandle::ends_within(std::chrono::milliseconds patience) const {
  pollfd end{pidfd_.get(), POLLIN, 0};
  return ::poll(&end, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace chaos
