// What announcements say, in words. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "plan/scenario.h"

namespace chaos {

/// An active scenario as people are told of it.
struct Announced {
  std::string kind;
  std::string target;  ///< describe_target
  std::optional<WallTime> ends_at;
  bool shadow = false;
};
using AnnouncedById = std::map<std::string, Announced, std::less<>>;

/// "netns=db port=80,443", "interface=eth0".
[[nodiscard]] std::string describe_target(const TargetKeys& target);

/// "2 scenarios active (latency_injection, packet_loss)": each kind once.
[[nodiscard]] std::string status_text(const AnnouncedById& active);

/// One line each, for the journal.
[[nodiscard]] std::string start_line(const Scenario& scenario);
[[nodiscard]] std::string end_line(const Scenario& scenario);
[[nodiscard]] std::string emergency_line(std::string_view reason, std::size_t ended);

/// What is shown at log-in; `chaosctl` is the command with the options that reach this daemon. Control characters are
/// replaced, long lists cut: it goes to terminals.
[[nodiscard]] std::string motd_text(const AnnouncedById& active, std::string_view instance, std::string_view chaosctl);

}  // namespace chaos
