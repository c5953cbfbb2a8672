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
#include "kernel/handed_over.h"
#include "kernel/processes.h"
#include "plan/services.h"
#include "plan/target.h"

namespace chaos {

/// By what the sockets are told apart.
enum class OwnedBy { kCgroup, kProcess, kUser };

/// Narrows a target to the sockets that were made in these cgroups and below them, by these processes and their
/// descendants, or by users in a network namespace. What they send is seen at the interfaces; what they receive, at the
/// cgroups, or, for kinds that hold packets, at the interfaces as well.
struct SocketOwners {
  std::string name;               ///< "unit nginx.service"
  std::vector<Cgroup> cgroups;    ///< empty: the target does not run at the moment
  OwnedBy by = OwnedBy::kCgroup;  ///< for others `cgroups` is only where their packets arrive
  std::vector<pid_t> processes;   ///< kProcess
  std::uint32_t netns = 0;        ///< kUser: inode of the namespace
  /// What the target is bound to: the start of the one process that it is (start_ticks), or the inode of the namespace
  /// that its users are in. Empty: it is known by a name, or by its path.
  std::optional<std::uint64_t> identity;
  std::vector<pid_t> members;                   ///< all processes that it is now, ascending
  std::vector<HandedOverSocket> handed_over{};  ///< kCgroup: what they have of others, as far as it was looked for
  std::string unit{};                           ///< if it is a unit of systemd's
  bool by_place = false;                        ///< it is a unit, a cgroup or a container, of v2 or of v1
  bool follow = false;                          ///< it is known by a name, under which it may come back
  bool ingress = false;                         ///< what arrives is meant as well, and seen at the cgroups
};

/// Those of the primary target `key` (service, unit, cgroup, container or pid). Errors: kInvalid with the field,
/// kNotFound (no such thing, or it does not run), kUnsupported (no cgroup v2 tree).
[[nodiscard]] Result<SocketOwners> find_owners(const TargetKeys& target, const std::string& key,
                                               const ServiceConfigs& services, const std::vector<Process>& processes);

/// The processes that have one of these names, of those that are candidates. `where`: for messages. Errors: kNotFound.
[[nodiscard]] Result<SocketOwners> owners_by_comm(const std::vector<std::string>& comms, const std::string& where,
                                                  const std::function<bool(const Process&)>& candidate,
                                                  const std::vector<Process>& processes);

/// The users in a network namespace; whether they run something there does not matter. Errors: kUnsupported.
[[nodiscard]] Result<SocketOwners> owners_by_user(const std::vector<uid_t>& uids, std::uint64_t netns,
                                                  const std::vector<Process>& processes);

}  // namespace chaos
