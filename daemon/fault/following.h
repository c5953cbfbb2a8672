// Following: faults that are narrowed to the sockets of a target stay at it: where it starts anew, gets a new interface
// or another namespace. Worker thread; blocks (/proc, netlink, links).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fault/kind.h"
#include "plan/scenario.h"
#include "plan/services.h"

namespace chaos {

struct Followed {
  std::string id;  ///< of the scenario
  ScenarioRequest request;
  std::map<std::string, std::string> parameters;  ///< effective
  std::shared_ptr<Fault> fault;
  std::optional<std::uint64_t> identity;  ///< SocketOwners::identity
};

enum class Whereabouts {
  kThere,
  kAway,     ///< does not run; it is known by a name and may come back
  kGone,     ///< does not exist any more
  kUnknown,  ///< could not be found out, or the fault could not be brought there
};

struct Sighting {
  std::string id;
  Whereabouts where = Whereabouts::kUnknown;
  std::string detail;  ///< for people: why it is not there
};

/// One look at the host for all of them; each fault is brought to where its target is.
[[nodiscard]] std::vector<Sighting> follow_targets(const std::vector<Followed>& all, const ServiceConfigs& services);

}  // namespace chaos
