// WaitLadder: where this kernel lets a program sleep in a system call, found by loading one of each, and which is taken
// for which call: security hooks first, where any number may wait, then entries. Needs CAP_BPF, CAP_PERFMON and
// CAP_SYS_ADMIN. Blocks; worker thread.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <span>
#include <string_view>

#include "base/result.h"
#include "kernel/syscall_ladder.h"
#include "kernel/syscall_table.h"

namespace chaos {

class WaitLadder {
 public:
  /// True if the kernel has a function of that name.
  using HasFunction = std::function<bool(std::string_view)>;
  WaitLadder(std::array<MechanismState, 2> states, std::set<chaos_syscall_hook> sleepable, HasFunction has_function)
      : states_(std::move(states)), sleepable_(std::move(sleepable)), has_function_(std::move(has_function)) {}
  /// Looks once for the life of the process. Some 100 ms the first time.
  static const WaitLadder& here();

  /// Security hooks, then entries.
  [[nodiscard]] std::span<const MechanismState> states() const { return states_; }
  /// The mechanism that has this call here. Error: kUnsupported with all reasons.
  [[nodiscard]] Result<SyscallMechanism> choose(const SyscallInfo& call, SyscallLadder::Needs needs) const;
  /// Those of a call's that this kernel has: all of them have programs.
  [[nodiscard]] std::vector<chaos_syscall_hook> hooks_of(const SyscallInfo& call) const;

 private:
  [[nodiscard]] bool can(const SyscallInfo& call, SyscallMechanism mechanism, SyscallLadder::Needs needs) const;
  std::array<MechanismState, 2> states_;
  std::set<chaos_syscall_hook> sleepable_;
  HasFunction has_function_;
};

/// Hooks that have a program that waits: those where the kernel holds no lock that a process outside the target could
/// want. (Those of inode_rename, inode_unlink and their like are asked with the directory locked.)
[[nodiscard]] std::span<const chaos_syscall_hook> waiting_hooks();

}  // namespace chaos
