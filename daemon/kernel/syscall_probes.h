// SyscallProbes: BPF programs that watch the system calls of a target (bpf/telemetry_syscalls.bpf.c), attached as long
// as the object lives; links are owned by descriptors, nothing is pinned. Every system call of every process on the
// host costs some 0.1 µs more meanwhile. Needs CAP_BPF and CAP_PERFMON. Worker thread; read(): any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "bpf/telemetry_abi.h"
#include "kernel/cgroup.h"
#include "kernel/net_probes.h"

namespace chaos {

/// By number of the call.
struct SyscallCounts {
  std::map<std::uint32_t, chaos_call_counts> calls;
  struct Error {
    std::uint64_t natural = 0;
    std::uint64_t injected = 0;
  };
  std::map<std::pair<std::uint32_t, int>, Error> errors;  ///< by number of the call and errno
};

/// Whether this kernel may put a task aside inside a program at a tracepoint of system calls, and then leaves the
/// program out for the others on that CPU: what uname(2) says. Seen on 7.3; 6.12 never does. Any thread.
[[nodiscard]] bool may_preempt_syscall_tracepoints();

class SyscallProbes {
 public:
  /// Whose calls: of these cgroups and below, or of these processes and what they have forked and fork later.
  struct Whose {
    std::vector<Cgroup> cgroups;
    std::vector<pid_t> processes;  ///< if there are no cgroups
  };
  /// Attached, and counts from now on. Some 100 ms. Errors: kUnsupported with what the kernel refuses, kRefused (too
  /// many cgroups or processes), kInternal.
  static Result<SyscallProbes> attach(const ProbeIdentity& identity, const Whose& whose);
  SyscallProbes(SyscallProbes&&) noexcept;
  SyscallProbes& operator=(SyscallProbes&&) noexcept;
  ~SyscallProbes();

  /// From now on these as well, or, of cgroups, instead. Error: kRefused (too many).
  Status follow(const Whose& whose);
  /// Of all CPUs since it was attached. Error: kInternal.
  [[nodiscard]] Result<SyscallCounts> read() const;
  /// Events that the kernel did not tell, at most: it runs no program where the same one is at work on that CPU.
  [[nodiscard]] std::uint64_t missed() const;

  // Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;

 private:
  struct Impl;
  explicit SyscallProbes(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// `now` less `before`, of one SyscallProbes.
[[nodiscard]] SyscallCounts difference(const SyscallCounts& now, const SyscallCounts& before);

/// "fsync", as strace(1) says it; "syscall_N" for a number without a name, "32-bit" for those of 32-bit and x32
/// programs.
[[nodiscard]] std::string syscall_name(std::uint32_t number);

}  // namespace chaos
