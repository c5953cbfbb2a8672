// The load worker: a process of chaosd's own binary, exec'ed, that takes what others shall not have: CPU time, memory,
// room on a disk. All that it takes ends with it, and it ends with chaosd in more than one way: the kernel kills it
// when the thread of chaosd's that started it ends (PR_SET_PDEATHSIG); and it ends by itself, within 50 ms, when
// chaosd's pidfd says so, when its socket does, when the lease on the heartbeat page has run out (chaosd hangs), or
// when the fault's deadline is over. It has no BPF object, holds nothing else of chaosd's, and is the first to go when
// the host runs out of memory.
#pragma once

#include <string_view>

namespace chaos {

/// argv[1] that makes this process a load worker.
inline constexpr const char* kLoadWorkerVerb = "load-worker";
/// The descriptors that it is given.
inline constexpr int kWorkerPidfd = 3;
inline constexpr int kWorkerHeartbeat = 4;
inline constexpr int kWorkerSocket = 5;

/// `chaosd load-worker --instance NAME NAME=VALUE...`; started by LoadProcess and by nobody else. The exit code: 0 if
/// it was told to end, or the lease or its time has run out.
int run_load_worker(int argc, char** argv);

}  // namespace chaos
