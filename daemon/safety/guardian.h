// The guardian: a second, tiny process of the same binary that undoes what the kernel does not undo by itself when
// chaosd dies or hangs. It holds chaosd's pidfd and the heartbeat page, knows the journal's directory, and has no BPF
// object. It ends when chaosd has ended and the journal is replayed, and for no other reason: signals that stop chaosd
// (a unit's stop, Ctrl-C) do not stop it.
#pragma once

namespace chaos {

/// argv[1] that makes this process a guardian.
inline constexpr const char* kGuardianVerb = "guardian";

/// `chaosd guardian --pidfd N --heartbeat N --ready N --runtime-dir DIR --instance NAME`; started by GuardianKeeper and
/// by nobody else. The exit code.
int run_guardian(int argc, char** argv);

}  // namespace chaos
