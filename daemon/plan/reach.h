// Reach: where a target is on this host at one moment: in which network namespaces, on which interfaces of them, and to
// which sockets it is narrowed; or which processes it is. Resolving blocks (netlink, namespaces, /proc): worker thread
// only; nothing is changed.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/interfaces.h"
#include "kernel/netns.h"
#include "kernel/processes.h"
#include "plan/kind_spec.h"
#include "plan/process_reach.h"
#include "plan/services.h"
#include "plan/socket_owners.h"
#include "plan/target.h"

namespace chaos {

struct PlannedInterface {
  Interface interface;
  bool egress = false;
  bool ingress = false;
  bool host_default_route = false;  ///< carries a default route of the initial namespace
};

struct PlannedNetwork {
  /// Open until the plan is dropped; a running fault must not keep it.
  std::shared_ptr<const Netns> netns;
  std::vector<PlannedInterface> interfaces;
};

struct Reach {
  std::vector<PlannedNetwork> networks;
  std::optional<SocketOwners> owners;     ///< empty: all sockets
  std::optional<ProcessReach> processes;  ///< for kinds that act on processes; then there are no networks
  bool host = false;                      ///< the whole host; then there are none of the above
  std::vector<std::string> notes;         ///< what a user should know about it
};

/// `filter`: of the same target. Errors: kInvalid with the field, kNotFound (no such thing, or it does not run),
/// kUnsupported (a target key that this version, kind or host cannot serve), kRefused (see process_reach()).
[[nodiscard]] Result<Reach> find_reach(const KindSpec& kind, const TargetKeys& target, const NetFilter& filter,
                                       const ServiceConfigs& services, const std::vector<Process>& processes);

}  // namespace chaos
