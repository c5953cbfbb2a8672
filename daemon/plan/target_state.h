// TargetState: the target of a scenario at one moment, for those who look at it rather than act on it: its processes,
// cgroups and sockets. Looks at a list of processes, /proc and the cgroup tree; worker thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/processes.h"
#include "plan/scenario.h"
#include "plan/services.h"

namespace chaos {

struct TargetState {
  std::string id;  ///< the scenario's
  std::string kind;
  std::vector<pid_t> pids;           ///< ascending
  std::vector<std::string> cgroups;  ///< of the v2 tree, that are the target's alone
  /// The network namespaces that it is in, by inode: how to open one (Netns::open), as long as it is there.
  std::map<std::uint64_t, std::string> networks;
  bool all_sockets = false;               ///< those of its networks, whoever has them; else these:
  std::set<std::uint64_t> cgroup_ids;     ///< made in one of these cgroups
  std::set<std::uint64_t> socket_inodes;  ///< or had by one of its processes
};

/// Of a service, unit, cgroup, container or process; of a network namespace what lives in it. Empty (no processes, no
/// networks) for others, and for one that does not run.
[[nodiscard]] TargetState target_state(const std::string& id, const ScenarioRequest& request,
                                       const ServiceConfigs& services, const std::vector<Process>& processes);

}  // namespace chaos
