// WaitPrograms: the programs of one fault that makes system calls wait, attached where its calls pass. They act by the
// rule of the fault's maps, and not before it is active. Needs CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN. Worker thread,
// but the ids: any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_maps.h"
#include "kernel/syscall_programs.h"
#include "kernel/wait_maps.h"

namespace chaos {

/// Destroying it detaches, and waits until the kernel has let go.
class WaitPrograms {
 public:
  /// Attaches all of them and fills in the rule's numbers. Some ms for each hook; at an entry, for each of up to
  /// CHAOS_WAIT_COPIES programs. Errors: kUnsupported, kInternal. On error nothing is left.
  static Result<WaitPrograms> attach(const SharedMaps& shared, const SyscallMaps& maps, const WaitMaps& waits,
                                     std::span<const MeantSyscall> meant);
  WaitPrograms(WaitPrograms&&) noexcept;
  WaitPrograms& operator=(WaitPrograms&&) noexcept;
  ~WaitPrograms();

  [[nodiscard]] const std::vector<std::uint32_t>& link_ids() const;
  [[nodiscard]] const std::vector<std::uint32_t>& program_ids() const;

 private:
  struct Impl;
  explicit WaitPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// How many copies of the program that waits an entry gets: as many as may wait on one CPU at a time. At least 2.
[[nodiscard]] unsigned copies_for(unsigned waits, unsigned cpus);

}  // namespace chaos
