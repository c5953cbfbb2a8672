// Socket makers: marks on sockets of other processes, by which programs know whose they are (maps `makers` and
// `processes`). Needs CAP_BPF and CAP_SYS_PTRACE. Worker thread.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/chaos_abi.h"
#include "kernel/proc_tree.h"

namespace chaos {

/// A descriptor of the internet socket that the process has there, to be closed at once: the connection lives as long
/// as somebody holds it. Not valid: it is no internet socket, or another one by now. Error: kDenied.
[[nodiscard]] Result<UniqueFd> borrow_socket(const UniqueFd& pidfd, pid_t pid, const proc::OpenSocket& open);

/// All zero if it has no mark.
[[nodiscard]] chaos_maker read_maker(int makers_fd, const UniqueFd& socket);
/// Error: kInternal.
Status write_maker(int makers_fd, const UniqueFd& socket, const chaos_maker& maker);

/// Takes the fault's bit out of the table of makers.
void clear_from_makers(int table_fd, unsigned fault);

}  // namespace chaos
