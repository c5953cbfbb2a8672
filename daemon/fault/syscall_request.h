// What the kinds on system calls have in common: which calls are meant, which share of them, of whom. Pure but for
// check_members(), which reads /proc; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fault/syscall_engine.h"
#include "kernel/syscall_ladder.h"
#include "plan/parameters.h"

namespace chaos {

/// What a kind does with calls, and what has them.
struct CallRules {
  std::string_view done;  ///< "failed": what calls are
  /// Error: kUnsupported with the reasons.
  std::function<Result<SyscallMechanism>(const SyscallInfo&, SyscallLadder::Needs)> choose;
};

/// `probability`, `every_nth`, `first`. Error: kInvalid with the field.
[[nodiscard]] Status read_share(const Parameters& parameters, SyscallRequest& request);
/// `path`, `fd_type`, `min_size`, then `syscalls`. Errors: kInvalid with the field; kUnsupported for a call that is
/// named and that nothing has on this kernel.
[[nodiscard]] Status read_calls(const Parameters& parameters, const CallRules& rules, SyscallRequest& request);

/// "cgroup hook: connect, bind; ..."
[[nodiscard]] std::string mechanisms_of(const SyscallRequest& request);
/// Refuses targets with what people log in with, and with 32-bit programs. Errors: kRefused, kUnsupported.
[[nodiscard]] Status check_members(const Plan& plan);
/// For the plan: what is left out.
[[nodiscard]] std::vector<std::string> common_notes(const SyscallRequest& request, const CallRules& rules);

namespace syscall_parameters {
[[nodiscard]] std::vector<std::string> split(std::string_view text);
/// What was given of a parameter; empty if it was not.
[[nodiscard]] std::string given(const Parameters& parameters, const std::string& name);
[[nodiscard]] std::unexpected<Error> invalid(std::string message, std::string_view parameter, std::string rule,
                                             std::string hint);
}  // namespace syscall_parameters

}  // namespace chaos
