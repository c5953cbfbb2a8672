// syscall_latency: calls of a target wait before they do what they do. Constant; any thread.
#pragma once

#include "fault/kind.h"
#include "fault/syscall_engine.h"
#include "kernel/wait_ladder.h"

namespace chaos {

extern const FaultKind kSyscallLatency;

/// The parameters of a plan or request, resolved, and the calls given to what has them here. Errors: kInvalid with the
/// field; kUnsupported for a call that is named and cannot be made to wait on this kernel.
[[nodiscard]] Result<SyscallRequest> latency_request(const Parameters& parameters, const WaitLadder& ladder);

}  // namespace chaos
