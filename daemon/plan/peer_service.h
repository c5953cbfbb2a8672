// Peers that are services of the configuration ("peer=service:NAME"): the addresses at which they are reached from a
// target. Looked up once, when planned, as host names are. Blocks (namespaces): worker thread only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/processes.h"
#include "plan/reach.h"
#include "plan/services.h"
#include "plan/target.h"

namespace chaos {

/// Takes the values "service:NAME" out of the target's peers; the names.
[[nodiscard]] std::vector<std::string> take_peer_services(TargetKeys& target);

/// Narrows `filter` to these services as well: to all addresses of the network namespaces that they live in. A service
/// in the target's own namespace has the same addresses as the target, so there its ports decide: those of the request,
/// else those of the configuration. What a user should know is added to `notes`.
/// Errors: kNotFound (not configured, does not run), kInvalid (it cannot be told apart from the target or from other
/// peers), kInternal.
[[nodiscard]] Status add_peer_services(const std::vector<std::string>& names, const Reach& reach,
                                       const ServiceConfigs& services, const std::vector<Process>& processes,
                                       NetFilter& filter, std::vector<std::string>& notes);

}  // namespace chaos
