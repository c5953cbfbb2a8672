// SyscallFault: one fault on system calls, which fail or wait, from its programs' attachment to their end. The kernel
// ends it by itself at its deadline, at the lapse of the lease and at the emergency stop.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fault/kind.h"
#include "fault/syscall_engine.h"
#include "fault/syscall_waits.h"
#include "kernel/syscall_maps.h"
#include "kernel/syscall_members.h"
#include "kernel/syscall_programs.h"

namespace chaos {

class SyscallFault final : public Fault {
 public:
  static Result<std::unique_ptr<Fault>> prepare(SyscallEngine& engine, const Plan& plan, const SyscallRequest& request,
                                                const LoadGround& ground);
  ~SyscallFault() override;

  Status arm(std::chrono::nanoseconds duration) override;
  void silence() override;
  Status remove() override;
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::map<std::string, std::string> achieved(const Counters& counters) const override;
  [[nodiscard]] TargetState target_state() const override;
  Status follow(const Reach& reach) override;

  void add_objects(PacketEngine::Objects& objects) const;

 private:
  SyscallFault(SyscallEngine& engine, SyscallMaps maps, SyscallRequest request);
  Status aim(const SocketOwners& owners);
  Status set_cgroups(const std::vector<Cgroup>& cgroups);
  Status write_rule(const Plan& plan);
  Status attach(const LoadGround& ground, std::uint64_t seed);

  using Figures = std::map<std::string, std::string>;
  [[nodiscard]] Counters read_counters() const;
  [[nodiscard]] Figures read_figures() const;

  SyscallEngine& engine_;
  const SyscallRequest request_;
  OwnedBy by_ = OwnedBy::kCgroup;
  mutable std::mutex mutex_;         ///< of what comes and goes below: asked for from other threads
  std::optional<SyscallMaps> maps_;  ///< empty: removed
  std::optional<SyscallMembers> members_;
  std::optional<SyscallPrograms> programs_;
  std::unique_ptr<SyscallWaits> waits_;  ///< instead of these
  Counters final_;                       ///< once it is removed, as what is below
  Figures final_figures_;
  std::uint64_t missed_ = 0;
};

}  // namespace chaos
