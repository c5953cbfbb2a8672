// Allowed hours: when scenarios may start, by the wall clock of a time zone, daylight saving included. Pure functions
// but for the tz database; any thread.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "config/config.h"

namespace chaos {

/// Whether a scenario may start at `now`. In the hour that clocks repeat in autumn both passes count; an hour that they
/// skip in spring is in no window. False if the time zone is not known (any more): in doubt nothing starts.
[[nodiscard]] bool within_hours(const AllowedHours& hours, WallTime now);

/// When the next window opens after `now`, within two weeks; empty if none does or the time zone is not known.
[[nodiscard]] std::optional<WallTime> next_opening(const AllowedHours& hours, WallTime now);

/// "mon-fri 09:00-17:00" of one window.
[[nodiscard]] std::string format_window(const TimeWindow& window);

}  // namespace chaos
