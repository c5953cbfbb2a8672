// SyscallEngine: makes and keeps account of faults on system calls, each with programs and maps of its own
// (kernel/syscall_programs.h); armed word and lease are those of all faults. Worker thread; objects(): any.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "fault/load_process.h"
#include "fault/packet_engine.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_programs.h"
#include "plan/plan.h"
#include "wait/wait_order.h"

namespace chaos {

/// What a plan's parameters mean.
struct SyscallRequest {
  std::vector<MeantSyscall> calls;
  std::vector<std::string> left_out;  ///< of groups: what cannot be done here
  struct WeightedErrno {
    int number = 0;
    std::uint64_t weight = 1;
  };
  std::vector<WeightedErrno> errnos;
  std::optional<WaitOrder> wait{};  ///< they wait, and do not fail; the seed is the plan's
  Probability probability;
  std::uint64_t every_nth = 0;  ///< 0: by probability
  std::uint64_t first = 0;      ///< 0: all
  std::string path;             ///< prefix or glob; empty: any
  std::uint32_t fd_types = 0;   ///< bit per S_IFMT >> 12; 0: any
  std::uint64_t min_size = 0;   ///< bytes
};

class SyscallEngine {
 public:
  /// `shared` must outlive it. `instance`: of this chaosd.
  SyscallEngine(const SharedMaps& shared, std::string_view instance);

  /// Attaches everything; nothing acts before Fault::arm. Errors: kRefused, kUnsupported, kInternal; then nothing is
  /// left.
  /// `ground` must outlive the fault.
  Result<std::unique_ptr<Fault>> prepare(const Plan& plan, const SyscallRequest& request, const LoadGround& ground);

  /// What it accounts for, for residue.
  [[nodiscard]] PacketEngine::Objects objects() const;

 private:
  friend class SyscallFault;
  const SharedMaps& shared_;
  const std::string tag_;
  mutable std::mutex mutex_;
  std::set<const class SyscallFault*> faults_;  ///< those in place
};

}  // namespace chaos
