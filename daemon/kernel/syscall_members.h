// SyscallMembers: the processes that a fault on system calls is narrowed to: those that are given, what they have
// forked, and what they fork from then on (bpf/syscall_members.bpf.c). Needs CAP_BPF and CAP_PERFMON. Worker thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_maps.h"

namespace chaos {

class SyscallMembers {
 public:
  /// Watches forks and ends from now on; nobody is a member yet. Errors: kUnsupported, kInternal.
  static Result<SyscallMembers> watch(const SharedMaps& shared, const SyscallMaps& maps);
  SyscallMembers(SyscallMembers&&) noexcept;
  SyscallMembers& operator=(SyscallMembers&&) noexcept;
  ~SyscallMembers();

  /// They and what they have forked are members as well. Those that end meanwhile are left out. Errors: kRefused (the
  /// table is full), kInternal.
  Status add(const std::vector<pid_t>& processes);

  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;

 private:
  struct Impl;
  explicit SyscallMembers(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
