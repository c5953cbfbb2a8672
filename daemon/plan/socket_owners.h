// SocketOwners: whose sockets a target means, where it is not a whole network: those of a service, unit, cgroup,
// container or process. Looks at a list of processes, at the cgroup tree and at pid files; worker thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/cgroup.h"
#include "kernel/processes.h"
#include "plan/services.h"
#include "plan/target.h"

namespace chaos {

/// Narrows a target to the sockets that were made in these cgroups and below them, or by these processes and their
/// descendants. What they send is seen at the interfaces, what they receive at the cgroups.
struct SocketOwners {
  std::string name;              ///< "unit nginx.service"
  std::vector<Cgroup> cgroups;   ///< empty: the target does not run at the moment
  bool by_process = false;       ///< then `cgroups` is only where their packets arrive
  std::vector<pid_t> processes;  ///< by_process
  /// Of the one process that the target is: with its pid, its identity (start_ticks).
  std::optional<std::uint64_t> started;
  std::vector<pid_t> members;  ///< all processes that it is now, ascending
  bool follow = false;         ///< it is known by a name, under which it may come back
  bool ingress = false;        ///< what arrives is meant as well
};

/// Those of the primary target `key` (service, unit, cgroup, container or pid). Errors: kInvalid with the field,
/// kNotFound (no such thing, or it does not run), kUnsupported (no cgroup v2 tree).
[[nodiscard]] Result<SocketOwners> find_owners(const TargetKeys& target, const std::string& key,
                                               const ServiceConfigs& services, const std::vector<Process>& processes);

/// The processes that have one of these names, of those that are candidates. `where`: for messages. Errors: kNotFound.
[[nodiscard]] Result<SocketOwners> owners_by_comm(const std::vector<std::string>& comms, const std::string& where,
                                                  const std::function<bool(const Process&)>& candidate,
                                                  const std::vector<Process>& processes);

}  // namespace chaos
