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
  /// The oldest member that no other member has forked.
  std::optional<ProcessId> main;
  std::string main_name;  ///< "process 4711 (redis-server)"; empty if there is none
};

/// Of `owners`. Error: kRefused if a process is among them that no scenario may touch: init,
/// chaosd and its guardian, sshd.
[[nodiscard]] Result<ProcessReach> process_reach(const SocketOwners& owners, const std::vector<Process>& processes);

}  // namespace chaos
