// SyscallPrograms: the programs of one fault on system calls, attached where its calls pass: at their entries, at
// security hooks, at the root of the cgroup tree. They act by the rule of the fault's maps, and not before it is
// active. Needs CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_ADMIN. Worker thread, but the ids: any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_ladder.h"
#include "kernel/syscall_maps.h"

namespace chaos {

/// A call that is meant, and what has it.
struct MeantSyscall {
  const SyscallInfo* call = nullptr;
  SyscallMechanism mechanism{};
};

/// When this process ends, all of them fall silent with its last thread; they go afterwards, one by one. Destroying it
/// detaches, and waits until the kernel has let go.
class SyscallPrograms {
 public:
  /// Attaches all of them and fills in the rule's numbers. Some ms for each hook. Errors: kUnsupported (a function that
  /// this kernel does not have), kInternal. On error nothing is left.
  static Result<SyscallPrograms> attach(const SharedMaps& shared, const SyscallMaps& maps,
                                        std::span<const MeantSyscall> meant);
  SyscallPrograms(SyscallPrograms&&) noexcept;
  SyscallPrograms& operator=(SyscallPrograms&&) noexcept;
  ~SyscallPrograms();

  /// How often the kernel has left a program out because it was running on that CPU already, of a task that had been
  /// put aside: these calls went on uncounted.
  [[nodiscard]] std::uint64_t missed() const;
  [[nodiscard]] const std::vector<std::uint32_t>& link_ids() const;
  [[nodiscard]] const std::vector<std::uint32_t>& program_ids() const;

 private:
  struct Impl;
  explicit SyscallPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
