#include "safety/allowed_hours.h"

#include <date/tz.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <exception>
#include <vector>

namespace chaos {
namespace {

constexpr std::array<const char*, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/// Null if the name is not known.
const date::time_zone* find_zone(const std::string& name) {
  try {
    return name == "local" ? date::current_zone() : date::locate_zone(name);
  } catch (const std::exception&) {
    return nullptr;
  }
}

unsigned day_index(date::local_days day) { return date::weekday(day).iso_encoding() - 1; }

bool opens_on(const TimeWindow& window, date::local_days day) { return (window.days >> day_index(day) & 1) != 0; }

bool over_midnight(const TimeWindow& window) { return window.to <= window.from; }

}  // namespace

bool within_hours(const AllowedHours& hours, WallTime now) {
  if (hours.windows.empty()) return true;
  const date::time_zone* zone = find_zone(hours.time_zone);
  if (zone == nullptr) return false;
  const auto local = zone->to_local(now);
  const auto today = date::floor<date::days>(local);
  const auto time = local - today;
  return std::ranges::any_of(hours.windows, [&](const TimeWindow& window) {
    if (!over_midnight(window)) return opens_on(window, today) && time >= window.from && time < window.to;
    return (opens_on(window, today) && time >= window.from) ||
           (opens_on(window, today - date::days(1)) && time < window.to);
  });
}

std::optional<WallTime> next_opening(const AllowedHours& hours, WallTime now) {
  const date::time_zone* zone = find_zone(hours.time_zone);
  if (zone == nullptr) return std::nullopt;
  constexpr int kDaysAhead = 14;
  std::optional<WallTime> next;
  const auto today = date::floor<date::days>(zone->to_local(now));
  for (int ahead = 0; ahead <= kDaysAhead && !next; ++ahead) {
    const auto day = today + date::days(ahead);
    for (const TimeWindow& window : hours.windows) {
      if (!opens_on(window, day)) continue;
      // A time that the clocks skip becomes the moment at which they skip it.
      const auto opens = std::chrono::time_point_cast<std::chrono::milliseconds>(
          zone->to_sys(day + window.from, date::choose::earliest));
      if (opens > now && (!next || opens < *next)) next = opens;
    }
  }
  return next;
}

std::string format_window(const TimeWindow& window) {
  std::vector<std::string> days;
  for (unsigned day = 0; day < kDays.size();) {
    if ((window.days >> day & 1) == 0) {
      ++day;
      continue;
    }
    unsigned last = day;
    while (last + 1 < kDays.size() && (window.days >> (last + 1) & 1) != 0) ++last;
    days.push_back(last == day ? kDays.at(day) : fmt::format("{}-{}", kDays.at(day), kDays.at(last)));
    day = last + 1;
  }
  const auto clock = [](std::chrono::minutes at) {
    return fmt::format("{:02}:{:02}", at.count() / 60, at.count() % 60);
  };
  return fmt::format("{} {}-{}", fmt::join(days, ","), clock(window.from), clock(window.to));
}

}  // namespace chaos
