// Processes: one look at all user processes of the host, with what targets and services are told apart by. Any thread;
// blocks on /proc (a millisecond per few hundred processes). Network namespaces of others need CAP_SYS_PTRACE.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace chaos {

/// What tells a process from a later one with the same number.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< clock ticks since boot
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  uid_t uid = 0;           ///< effective
  std::string comm;        ///< at most 15 bytes
  std::string executable;  ///< absolute path, without " (deleted)"; empty if unknown
  /// Path in the cgroup tree, from its root: of cgroup v2, else (v1, hybrid with all in the root) of the hierarchy that
  /// systemd names, else of the first controller that has a path; "/" if none has.
  std::string cgroup;
  std::string cgroup2;                 ///< path in the v2 tree alone; empty if there is none
  std::optional<std::uint64_t> netns;  ///< inode of its network namespace
  std::uint64_t start_ticks = 0;       ///< see ProcessId
  [[nodiscard]] ProcessId id() const { return {pid, start_ticks}; }
};

/// User processes by pid; kernel threads and zombies are left out. Those that end meanwhile may be missing. Error:
/// kInternal if `proc` cannot be read.
[[nodiscard]] Result<std::vector<Process>> list_user_processes(const std::filesystem::path& proc = "/proc");

/// When the process started, in clock ticks since boot: with the pid, its identity. Empty if it is gone.
[[nodiscard]] std::optional<std::uint64_t> start_ticks(pid_t pid, const std::filesystem::path& proc = "/proc");

/// When the process started; empty if it is gone. To 1/CLK_TCK s.
[[nodiscard]] std::optional<WallTime> start_time(pid_t pid, const std::filesystem::path& proc = "/proc");

/// `pid` and all below it, out of `all`; empty if `pid` is not among them.
[[nodiscard]] std::vector<pid_t> with_descendants(const std::vector<Process>& all, pid_t pid);

/// Calls `add` for each of `processes` and all below them, looking anew until nothing is added any more: what one of
/// them forked before it was added is found so; for what it forks later `add` has to have provided. `add`: true if the
/// process was added, false if it had been before, or is gone. Errors: those of `add` and of list_user_processes().
[[nodiscard]] Status add_with_descendants(const std::vector<pid_t>& processes,
                                          const std::function<Result<bool>(pid_t)>& add);

/// True for `parent` itself and what is below it: "/a/b" is in "/a", "/ab" is not.
[[nodiscard]] bool cgroup_contains(std::string_view parent, std::string_view path);

/// The v2 path in the text of /proc/PID/cgroup; empty if there is none.
[[nodiscard]] std::string cgroup2_of(std::string_view text);

/// The path that counts, of the text of /proc/PID/cgroup (see Process::cgroup).
[[nodiscard]] std::string cgroup_of(std::string_view text);

}  // namespace chaos
