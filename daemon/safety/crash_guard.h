// Crash guard: a fatal signal first stores 0 into the armed word, so that faults are silent while the kernel writes a
// core dump (which keeps every fd open for seconds), then dies as it would have. Process-wide.
#pragma once

#include "base/result.h"
#include "bpf/chaos_abi.h"

namespace chaos {

/// Handles SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and SIGSYS, on an alternate stack for the calling thread.
/// `control` must stay mapped for the rest of the process. Call once, from the main thread. Error: kInternal.
[[nodiscard]] Status install_crash_guard(chaos_control& control);

}  // namespace chaos
