// The emergency stop as a whole: by the daemon, else by chaosctl's own brake. For the command and for the key of top.
// Any thread, one at a time; blocks for a second, and as long as the brake takes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "ctl/brake.h"
#include "ctl/problem.h"

namespace chaos::ctl {

struct EmergencyStop {
  Json answer;                        ///< the daemon's, if it did it
  std::optional<BrakeReport> forced;  ///< what was done without it
};

struct EmergencyHooks {
  std::string advice;                                  ///< the command for root to copy
  std::function<void(const std::string&)> on_force{};  ///< before the daemon is ended by force, with the reason
};

/// Without a runtime directory the socket's is meant; without a state directory the daemon's own.
[[nodiscard]] BrakeScope brake_scope(const std::string& socket, std::string reason, const std::string& runtime_dir = {},
                                     const std::string& state_dir = {});

/// Error: the daemon refuses (role), or does not do it and the caller is not root.
Outcome<EmergencyStop> emergency_stop(const BrakeScope& scope, const EmergencyHooks& hooks);

}  // namespace chaos::ctl
