// The process that a probe's command runs in: this same program, exec'ed, so that it shares nothing of chaosd's. It
// leads the command's process group, ends as the command does, and kills the whole group when chaosd dies, however that
// happens.
#pragma once

namespace chaos {

inline constexpr const char* kProbeVerb = "probe-command";
/// What it finds its descriptors under: a pidfd of chaosd, and where the command's output goes.
inline constexpr int kProbeChaosd = 3;
inline constexpr int kProbeOutput = 4;
/// As a shell says it: the command could not be run.
inline constexpr int kCannotRun = 127;

/// argv: the program, the verb, the command and its arguments. Returns the exit status; dies of the signal that the
/// command died of.
int run_probe_process(int argc, char** argv);

}  // namespace chaos
