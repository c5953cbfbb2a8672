// The wait server: a process of chaosd's own binary, exec'ed, that ends the waits of one fault's calls: it answers
// requests for pages of a LateFile when their time has come (bpf/wait_abi.h). Beside it runs the holder, which has that
// file mapped.
//
// No wait depends on a living chaosd, and none on one process alone. The kernel kills the server when the thread of
// chaosd's that started it ends (PR_SET_PDEATHSIG), and all waits end with it. It ends by itself, within 100 ms, when
// chaosd's pidfd or its socket says so, or when the lease on the heartbeat page has run out (chaosd hangs). The holder
// kills it when it does not come round. It has one thread and takes no lock; it and the holder are spared by the fault.
#pragma once

namespace chaos {

/// argv[1] that makes this process a wait server.
inline constexpr const char* kWaitServerVerb = "wait-server";
/// The descriptors that it is given: chaosd's pidfd, the heartbeat page, a socket (load/messages.h), and the maps
/// syscall_waiting and syscall_waits.
inline constexpr int kWaitPidfd = 3;
inline constexpr int kWaitHeartbeat = 4;
inline constexpr int kWaitSocket = 5;
inline constexpr int kWaitWaiting = 6;
inline constexpr int kWaitWaits = 7;

/// What it says once waits can begin: "SERVER HOLDER ADDRESS", as decimal numbers, under load_message::kReady.
/// Under kRefused: why not. To it: kRelease, after `released` was set in the map.
inline constexpr char kWaitRelease = 'X';

/// `chaosd wait-server --instance NAME NAME=VALUE...` (wait/wait_order.h); started by WaitProcess and by nobody else.
/// The exit code: 0 if chaosd has ended, hangs or says so.
int run_wait_server(int argc, char** argv);

}  // namespace chaos
