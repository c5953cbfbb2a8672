// syscall_failure: calls of a target end with an errno, before or instead of what they would have done. Constant; any
// thread.
#pragma once

#include "fault/kind.h"
#include "fault/syscall_engine.h"
#include "kernel/syscall_ladder.h"

namespace chaos {

extern const FaultKind kSyscallFailure;

/// The parameters of a plan or request, resolved, and the calls given to what has them here. Errors: kInvalid with the
/// field; kUnsupported for a call that is named and cannot be failed on this kernel.
[[nodiscard]] Result<SyscallRequest> syscall_request(const Parameters& parameters, const SyscallLadder& ladder);

}  // namespace chaos
