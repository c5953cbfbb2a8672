// SyscallWaits: what makes a SyscallFault's calls wait: its maps, its programs and the processes that end the waits.
// Worker thread; release(), failure() and what is asked of it: any.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "fault/packet_engine.h"
#include "fault/wait_process.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_maps.h"
#include "kernel/wait_maps.h"
#include "kernel/wait_programs.h"

namespace chaos {

class SyscallWaits {
 public:
  /// Everything is in place, and nothing acts before the rule is active. Spares both processes in it. `shared`, `maps`
  /// and `ground` must outlive it. Errors: as WaitProcess::start and WaitPrograms::attach; then nothing is left.
  static Result<std::unique_ptr<SyscallWaits>> create(const SharedMaps& shared, const SyscallMaps& maps,
                                                      const LoadGround& ground, std::string_view tag,
                                                      const WaitOrder& order, std::span<const MeantSyscall> calls);

  /// All who wait go on, now. Never blocks.
  void release();
  /// After release() and once the rule is not active: nobody waits any more, and what it had is gone.
  void remove();
  /// Why calls do not wait any more, which nobody asked for; empty while they do.
  [[nodiscard]] std::string failure() const;
  /// Measured beside requested.
  [[nodiscard]] std::map<std::string, std::string> achieved() const;
  void add_objects(PacketEngine::Objects& objects) const;

 private:
  explicit SyscallWaits(WaitMaps maps) : maps_(std::move(maps)) {}
  WaitMaps maps_;
  mutable std::mutex mutex_;  ///< of what comes and goes below
  std::unique_ptr<WaitProcess> process_;
  std::optional<WaitPrograms> programs_;
};

}  // namespace chaos
