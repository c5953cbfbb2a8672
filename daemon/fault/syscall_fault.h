// SyscallFault: one fault on system calls, from its programs' attachment to their end. The kernel ends it by itself at
// its deadline, at the lapse of the lease and at the emergency stop.
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
#include "kernel/syscall_maps.h"
#include "kernel/syscall_members.h"
#include "kernel/syscall_programs.h"

namespace chaos {

class SyscallFault final : public Fault {
 public:
  static Result<std::unique_ptr<Fault>> prepare(SyscallEngine& engine, const Plan& plan, const SyscallRequest& request);
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

  using Injected = std::map<std::string, std::string>;
  [[nodiscard]] Counters read_counters() const;
  [[nodiscard]] Injected read_injected() const;

  SyscallEngine& engine_;
  const SyscallRequest request_;
  OwnedBy by_ = OwnedBy::kCgroup;
  mutable std::mutex mutex_;         ///< of what comes and goes below: asked for from other threads
  std::optional<SyscallMaps> maps_;  ///< empty: removed
  std::optional<SyscallMembers> members_;
  std::optional<SyscallPrograms> programs_;
  Counters final_;  ///< once it is removed, as what is below
  Injected final_injected_;
  std::uint64_t missed_ = 0;
};

}  // namespace chaos
