#include "kernel/syscall_ladder.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/contains.h"
#include "base/unique_fd.h"
#include "kernel/program_probe.h"

namespace chaos {
namespace {

using probe::is_lsm_active;
using probe::try_function;
using probe::why;

/// A program that calls a helper and returns 1.
int try_helper(bpf_prog_type type, bpf_attach_type attach, std::int32_t helper, std::int32_t first) {
  const std::array<bpf_insn, 6> code{{
      // The context stays in the first register where the helper takes it.
      {BPF_ALU64 | BPF_MOV | BPF_K, static_cast<__u8>(first != 0 ? BPF_REG_1 : BPF_REG_3), 0, 0, first},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0},
      {BPF_JMP | BPF_CALL, 0, 0, 0, helper},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 0},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  }};
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
  const UniqueFd program(bpf_prog_load(type, probe::kName, "GPL", code.data(), code.size(), &opts));
  return program.valid() ? 0 : errno;
}

struct BtfDeleter {
  void operator()(btf* types) const { btf__free(types); }
};

constexpr std::array<std::string_view, 4> kKept{"__x64_sys_", "security_", "bpf_lsm_", "bpf_task_"};

/// In one walk: the kernel has a hundred thousand types.
SyscallLadder::Functions find_functions() {
  SyscallLadder::Functions found;
  const std::unique_ptr<btf, BtfDeleter> types(btf__load_vmlinux_btf());
  const unsigned count = types ? btf__type_cnt(types.get()) : 0;
  for (unsigned id = 1; id < count; ++id) {
    const btf_type* type = btf__type_by_id(types.get(), id);
    if (!btf_is_func(type)) continue;
    const std::string_view name = btf__name_by_offset(types.get(), type->name_off);
    if (std::ranges::any_of(kKept, [&](std::string_view start) { return name.starts_with(start); })) {
      found.try_emplace(std::string(name), id);
    }
  }
  return found;
}

unsigned number_of(const SyscallLadder::Functions& functions, std::string_view name) {
  const auto found = functions.find(name);
  return found == functions.end() ? 0 : found->second;
}

MechanismState entry_state(const SyscallLadder::Functions& functions) {
  const int err = try_function(BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, number_of(functions, "__x64_sys_fsync"));
  return {.mechanism = SyscallMechanism::kEntry,
          .available = err == 0,
          .reason = err == 0 ? "" : why(err, "calls that programs may decide (CONFIG_FUNCTION_ERROR_INJECTION)"),
          .feature = "fmod_ret_syscall"};
}

MechanismState override_state() {
  constexpr std::string_view kLacking = "bpf_override_return (CONFIG_KPROBES, CONFIG_BPF_KPROBE_OVERRIDE)";
  int err = access("/sys/bus/event_source/devices/kprobe/type", R_OK) == 0 ? 0 : ENOENT;
  if (err == 0) err = try_helper(BPF_PROG_TYPE_KPROBE, bpf_attach_type{}, BPF_FUNC_override_return, 0);
  return {.mechanism = SyscallMechanism::kOverride,
          .available = err == 0,
          .reason = err == 0 ? "" : why(err, kLacking),
          .feature = "bpf_override_return",
          .exact = true};  // a probe is not put aside
}

MechanismState security_state(const SyscallLadder::Functions& functions) {
  MechanismState state{.mechanism = SyscallMechanism::kSecurity, .feature = "security_hooks"};
  // Preferred, for the kernel leaves out a program of fmod_ret that is at work on the same CPU already, and none of
  // these (bpf_prog_check_recur() in kernel/bpf/trampoline.c).
  const int by_lsm = try_function(BPF_PROG_TYPE_LSM, BPF_LSM_MAC, number_of(functions, "bpf_lsm_file_open"));
  state.by_lsm = state.exact = by_lsm == 0 && is_lsm_active();
  const int by_return =
      try_function(BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, number_of(functions, "security_file_open"));
  state.by_return = by_return == 0;
  state.available = state.by_lsm || state.by_return;
  if (state.available) return state;
  state.reason = why(by_return, "fmod_ret (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, CONFIG_SECURITY)");
  state.reason += by_lsm == 0 ? "; BPF LSM is not in /sys/kernel/security/lsm (lsm=...,bpf at boot)"
                              : "; of BPF LSM: " + why(by_lsm, "CONFIG_BPF_LSM");
  return state;
}

MechanismState cgroup_state() {
  const int err = try_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, BPF_FUNC_set_retval, -EIO);
  return {.mechanism = SyscallMechanism::kCgroup,
          .available = err == 0,
          .reason = err == 0 ? "" : why(err, "bpf_set_retval at cgroups (CONFIG_CGROUP_BPF, Linux 5.18)"),
          .feature = "cgroup_calls",
          .exact = true};
}

}  // namespace

std::string_view to_string(SyscallMechanism mechanism) {
  switch (mechanism) {
    case SyscallMechanism::kEntry:
      return "fmod_ret at the entry of the call";
    case SyscallMechanism::kOverride:
      return "bpf_override_return at the entry of the call";
    case SyscallMechanism::kSecurity:
      return "security hook";
    case SyscallMechanism::kCgroup:
      return "cgroup hook";
    case SyscallMechanism::kWaitSecurity:
      return "security hook that may sleep";
    case SyscallMechanism::kWaitEntry:
      return "sleeping fmod_ret at the entry of the call";
  }
  return "unknown";
}

bool MechanismState::takes_lsm(chaos_syscall_hook hook, bool path) const {
  // Asking for a path is for hooks that may sleep (bpf_d_path_allowed() in kernel/trace/bpf_trace.c), of which it is
  // not.
  return by_lsm && !(path && hook == CHAOS_HOOK_FILE_PERMISSION);
}

bool MechanismState::tells_path(chaos_syscall_hook hook) const {
  return knows_path(hook) && (!available || by_return || takes_lsm(hook, true));
}

const SyscallLadder& SyscallLadder::here() {
#ifdef __x86_64__
  static const SyscallLadder ladder = [] {
    Functions functions = find_functions();
    // Before they are given away: arguments are evaluated in any order.
    std::array states{entry_state(functions), override_state(), security_state(functions), cgroup_state()};
    return SyscallLadder(std::move(states), std::move(functions));
  }();
#else
  static const SyscallLadder ladder(
      [] {
        std::array<MechanismState, 4> states;
        for (const SyscallMechanism mechanism : kSyscallMechanisms) {
          MechanismState& state = states[static_cast<std::size_t>(mechanism)];
          state.mechanism = mechanism;
          state.reason = "this version knows the system calls of x86-64 alone";
        }
        return states;
      }(),
      {});
#endif
  return ladder;
}

unsigned SyscallLadder::function(std::string_view name) const { return number_of(functions_, name); }

bool SyscallLadder::can(const SyscallInfo& call, SyscallMechanism mechanism, Needs needs) const {
  switch (mechanism) {
    case SyscallMechanism::kEntry:
    case SyscallMechanism::kOverride:
      return !call.entry.empty() && !needs.path && function(function_of(call)) != 0;
    case SyscallMechanism::kSecurity:
      return std::ranges::any_of(call.security,
                                 [this](chaos_syscall_hook hook) { return function(function_of(hook)) != 0; }) &&
             (!needs.path || std::ranges::all_of(call.security, [&](chaos_syscall_hook hook) {
               return state(mechanism).tells_path(hook);
             }));
    case SyscallMechanism::kCgroup:
      return !call.cgroup.empty() && !needs.path;
    case SyscallMechanism::kWaitSecurity:
    case SyscallMechanism::kWaitEntry:
      return false;  // of WaitLadder
  }
  return false;
}

Result<SyscallMechanism> SyscallLadder::choose(const SyscallInfo& call, Needs needs) const {
  std::string reasons;
  const MechanismState* first = nullptr;
  for (const MechanismState& one : states_) {
    if (!can(call, one.mechanism, needs)) continue;
    if (one.available && (one.exact || !needs.exact)) return one.mechanism;
    if (one.available && first == nullptr) first = &one;
    reasons += (reasons.empty() ? "" : "; ") + std::string(to_string(one.mechanism)) + ": " + one.reason;
  }
  if (first != nullptr) return first->mechanism;
  if (reasons.empty()) {
    reasons = needs.path ? "no hook that it passes knows the path" : "no mechanism has it";
  }
  return fail(Errc::kUnsupported, std::string(call.name) + " cannot be failed here: " + reasons, "parameters.syscalls",
              "calls that this kernel lets programs fail", "see `chaosctl features`, and SYSCALL FAILURE in chaosd(8)");
}

}  // namespace chaos
