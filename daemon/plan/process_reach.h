// ProcessReach: the processes that a target is at one moment, for kinds that act on processes and not on packets. Looks
// at a list of processes; worker thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/cgroup.h"
#include "kernel/processes.h"
#include "plan/socket_owners.h"

namespace chaos {

struct ProcessReach {
  /// All of these cgroups and below is meant; empty: the members alone are.
  std::vector<Cgroup> cgroups;
  std::vector<ProcessId> members;
  bool by_place = false;  ///< whatever comes to that unit, cgroup or container is meant
  std::string unit{};     ///< of systemd's, if it is one
  /// The oldest member that no other member has forked.
  std::optional<ProcessId> eldest;
};

/// The main process at this moment: what systemd says for a unit (asked here: blocks), else the eldest. Empty: there is
/// none now.
[[nodiscard]] std::optional<ProcessId> main_process(const ProcessReach& reach);

/// Of `owners`. Error: kRefused if a process is among them that no scenario may touch: init,
/// chaosd and its guardian, sshd.
[[nodiscard]] Result<ProcessReach> process_reach(const SocketOwners& owners, const std::vector<Process>& processes);

}  // namespace chaos
