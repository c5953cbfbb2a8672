// Brake: the emergency stop without the daemon's help, for one that hangs, is stopped by a signal, or is gone. SIGKILL
// empties the kernel of chaosd's BPF objects (DESIGN, "Fault ownership"), also under SIGSTOP. Needs root; blocks for
// as long as the daemon takes to die, kKillTimeout at most.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos::ctl {

inline constexpr std::chrono::seconds kKillTimeout{10};

/// A living daemon whose identity has been checked: the pidfd cannot come to mean another process.
struct RunningDaemon {
  pid_t pid = 0;
  UniqueFd pidfd;
  std::string found_by;                              ///< "the pid file", "the socket's listener"
  std::optional<std::filesystem::path> state_dir{};  ///< as its command line says
};

/// By RUNTIME_DIR/chaosd.pid ("PID STARTTIME", the start time as in /proc/PID/stat), else by who listens on `socket`.
/// The executable must be called chaosd. kNotFound: none is running. Other errors: one may be running.
[[nodiscard]] Result<RunningDaemon> find_daemon(const std::filesystem::path& runtime_dir, const std::string& socket);

struct BrakeScope {
  std::filesystem::path runtime_dir;
  std::filesystem::path state_dir;  ///< empty: the daemon's own, or /var/lib/chaosd
  std::string socket;
  std::string reason;
};

struct BrakeStep {
  std::string step;  ///< "stop file", "daemon", "latch"
  bool done = false;
  std::string detail;
};

struct BrakeReport {
  std::vector<BrakeStep> steps;
  std::optional<pid_t> killed;
  bool stopped = false;  ///< no daemon is running any more
  bool held = false;     ///< none will start a scenario: stop file or latch is in place
};

/// Stop file first (a restarted daemon honours it), then the daemon, then the latch. Never gives up half-way: each
/// step is tried, whatever became of the ones before.
[[nodiscard]] BrakeReport pull_brake(const BrakeScope& scope);

}  // namespace chaos::ctl
