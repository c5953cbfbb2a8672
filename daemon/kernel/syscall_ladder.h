// SyscallLadder: by which mechanisms this kernel lets a program fail system calls, found by loading and attaching one
// of each, and which is taken for which call: the first of the ladder that has it (and that is exact, where numbers
// matter). Needs CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN. Blocks; worker thread.
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernel/syscall_table.h"

namespace chaos {

/// Of failures: from the one that can do most to the one that is there everywhere. Of waits: WaitLadder's.
enum class SyscallMechanism { kEntry, kOverride, kSecurity, kCgroup, kWaitSecurity, kWaitEntry };
inline constexpr std::array kSyscallMechanisms{SyscallMechanism::kEntry, SyscallMechanism::kOverride,
                                               SyscallMechanism::kSecurity, SyscallMechanism::kCgroup};
/// "fmod_ret at the entry of calls"
[[nodiscard]] std::string_view to_string(SyscallMechanism mechanism);

struct MechanismState {
  SyscallMechanism mechanism{};
  bool available = false;
  bool by_lsm = false;     ///< kSecurity: as programs of BPF LSM
  std::string reason{};    ///< why not, and what the kernel lacks
  std::string feature{};   ///< its name in the table of features
  bool exact = false;      ///< sees each call, also where the kernel puts a task aside inside the program
  bool by_return = false;  ///< kSecurity: by fmod_ret
  /// Of kSecurity: a program of BPF LSM for this hook, and not fmod_ret.
  [[nodiscard]] bool takes_lsm(chaos_syscall_hook hook, bool path) const;
  /// Of kSecurity: its program for this hook can ask for the path.
  [[nodiscard]] bool tells_path(chaos_syscall_hook hook) const;
};

class SyscallLadder {
 public:
  /// Looks once for the life of the process: a kernel does not change. Some 100 ms the first time.
  static const SyscallLadder& here();
  /// The kernel's functions that calls and security hooks have and that deal with tasks, by name, with their numbers
  /// among its types.
  using Functions = std::map<std::string, unsigned, std::less<>>;
  SyscallLadder(std::array<MechanismState, 4> states, Functions functions)
      : states_(std::move(states)), functions_(std::move(functions)) {}
  /// 0 if this kernel has none of that name.
  [[nodiscard]] unsigned function(std::string_view name) const;

  [[nodiscard]] const MechanismState& state(SyscallMechanism mechanism) const {
    return states_[static_cast<std::size_t>(mechanism)];
  }
  [[nodiscard]] std::span<const MechanismState> states() const { return states_; }

  /// What is asked of a call besides its number.
  struct Needs {
    bool path = false;   ///< the hook must know a path
    bool exact = false;  ///< numbers matter: rather one that sees each call, if there is one
  };
  /// The mechanism that has this call here. Error: kUnsupported with all reasons.
  [[nodiscard]] Result<SyscallMechanism> choose(const SyscallInfo& call, Needs needs) const;

 private:
  [[nodiscard]] bool can(const SyscallInfo& call, SyscallMechanism mechanism, Needs needs) const;
  std::array<MechanismState, 4> states_;
  Functions functions_;
};

}  // namespace chaos
