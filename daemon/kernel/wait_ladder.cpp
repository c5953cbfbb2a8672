#include "kernel/wait_ladder.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mount.h>

#include <algorithm>
#include <string>

#include "base/contains.h"
#include "base/unique_fd.h"
#include "kernel/program_probe.h"

namespace chaos {
namespace {

using enum SyscallMechanism;

/// What the programs call.
constexpr std::string_view kFromPid = "bpf_task_from_pid";
constexpr std::string_view kRelease = "bpf_task_release";

constexpr std::array kHooks{
    CHAOS_HOOK_FILE_OPEN,       CHAOS_HOOK_INODE_GETATTR,  CHAOS_HOOK_MMAP_FILE,      CHAOS_HOOK_FILE_IOCTL,
    CHAOS_HOOK_FILE_LOCK,       CHAOS_HOOK_PATH_TRUNCATE,  CHAOS_HOOK_TASK_ALLOC,     CHAOS_HOOK_BPRM_CHECK_SECURITY,
    CHAOS_HOOK_SOCKET_CREATE,   CHAOS_HOOK_SOCKET_CONNECT, CHAOS_HOOK_SOCKET_BIND,    CHAOS_HOOK_SOCKET_LISTEN,
    CHAOS_HOOK_SOCKET_ACCEPT,   CHAOS_HOOK_SOCKET_SENDMSG, CHAOS_HOOK_SOCKET_RECVMSG, CHAOS_HOOK_SOCKET_GETSOCKOPT,
    CHAOS_HOOK_SOCKET_SHUTDOWN,
};

unsigned number_of(std::string_view function) { return SyscallLadder::here().function(function); }

/// Why there can be no file whose pages come late; empty: there can.
std::string why_no_file() {
  // First: it makes the kernel load its module, which has the device.
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context.valid()) return "no file system can be made: " + probe::why(errno, "FUSE (CONFIG_FUSE_FS)");
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device.valid()) return "/dev/fuse cannot be opened: " + probe::why(errno, "FUSE (CONFIG_FUSE_FS)");
  return {};
}

/// A program that may sleep and asks for a task, at this hook or entry; 0 or an errno.
int try_sleeper(bpf_prog_type type, bpf_attach_type attach, std::string_view function) {
  const std::array<bpf_insn, 7> code{{
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1},
      {BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, static_cast<__s32>(number_of(kFromPid))},
      {BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0},
      {BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_0, 0, 0},
      {BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, static_cast<__s32>(number_of(kRelease))},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  }};
  return probe::try_code(type, attach, number_of(function), code, BPF_F_SLEEPABLE, true);
}

MechanismState security_state() {
  MechanismState state{kWaitSecurity, false, true, {}, "sleepable_security_hooks"};
  if (const int err = try_sleeper(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, "bpf_lsm_file_open"); err != 0) {
    state.reason = probe::why(err, "sleeping programs of BPF LSM (CONFIG_BPF_LSM)");
  } else if (!probe::is_lsm_active()) {
    state.reason = "BPF LSM is not in /sys/kernel/security/lsm (lsm=...,bpf at boot)";
  }
  state.available = state.reason.empty();
  return state;
}

MechanismState entry_state() {
  MechanismState state{kWaitEntry, false, false, {}, "sleepable_syscall_entries"};
  const int err = try_sleeper(BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, "__x64_sys_fsync");
  if (err != 0) state.reason = probe::why(err, "calls that programs may decide (CONFIG_FUNCTION_ERROR_INJECTION)");
  state.available = err == 0;
  return state;
}

std::set<chaos_syscall_hook> find_sleepable() {
  std::set<chaos_syscall_hook> found;
  for (const chaos_syscall_hook hook : kHooks) {
    const unsigned function = number_of("bpf_lsm_" + std::string(to_string(hook)));
    if (probe::try_function(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, function, BPF_F_SLEEPABLE, false) == 0) {
      found.insert(hook);
    }
  }
  return found;
}

WaitLadder find_ladder() {
  std::array<MechanismState, 2> states{
      MechanismState{kWaitSecurity, false, true, {}, "sleepable_security_hooks"},
      MechanismState{kWaitEntry, false, false, {}, "sleepable_syscall_entries"},
  };
  std::set<chaos_syscall_hook> sleepable;
  std::string reason;
#ifdef __x86_64__
  if (number_of(kFromPid) == 0 || number_of(kRelease) == 0) {
    reason = "the kernel lacks bpf_task_from_pid (Linux 6.2)";
  } else {
    reason = why_no_file();
  }
  if (reason.empty()) {
    states = {security_state(), entry_state()};
    if (states[0].available) sleepable = find_sleepable();
  }
#else
  reason = "system calls are known for x86-64 alone";
#endif
  for (MechanismState& state : states) {
    if (!reason.empty()) state.reason = reason;
  }
  return {std::move(states), std::move(sleepable),
          [](std::string_view name) { return SyscallLadder::here().function(name) != 0; }};
}

}  // namespace

const WaitLadder& WaitLadder::here() {
  static const WaitLadder ladder = find_ladder();
  return ladder;
}

std::vector<chaos_syscall_hook> WaitLadder::hooks_of(const SyscallInfo& call) const {
  std::vector<chaos_syscall_hook> hooks;
  for (const chaos_syscall_hook hook : call.security) {
    if (has_function_(function_of(hook))) hooks.push_back(hook);
  }
  return hooks;
}

bool WaitLadder::can(const SyscallInfo& call, SyscallMechanism mechanism, SyscallLadder::Needs needs) const {
  if (mechanism == kWaitEntry) return !call.entry.empty() && !needs.path && has_function_(function_of(call));
  const std::vector<chaos_syscall_hook> hooks = hooks_of(call);
  const auto may_wait = [&](chaos_syscall_hook hook) {
    return contains(kHooks, hook) && (!states_[0].available || sleepable_.contains(hook)) &&
           (!needs.path || knows_path(hook));
  };
  // What a ring does passes these hooks in threads that serve others as well.
  return !call.entry.empty() && !hooks.empty() && std::ranges::all_of(hooks, may_wait);
}

Result<SyscallMechanism> WaitLadder::choose(const SyscallInfo& call, SyscallLadder::Needs needs) const {
  std::string reasons;
  for (const MechanismState& one : states_) {
    if (!can(call, one.mechanism, needs)) continue;
    if (one.available) return one.mechanism;
    reasons += (reasons.empty() ? "" : "; ") + std::string(to_string(one.mechanism)) + ": " + one.reason;
  }
  if (reasons.empty()) {
    reasons = needs.path ? "no hook that it passes knows the path and may sleep" : "no mechanism has it";
  }
  return fail(Errc::kUnsupported, std::string(call.name) + " cannot be made to wait here: " + reasons,
              "parameters.syscalls", "calls in which this kernel lets programs sleep",
              "see `chaosctl features`, and SYSCALL LATENCY in chaosd(8)");
}

std::span<const chaos_syscall_hook> waiting_hooks() { return kHooks; }

}  // namespace chaos
