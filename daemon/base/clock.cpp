#include "base/clock.h"

#include <ctime>

#include <fmt/format.h>

namespace chaos {
namespace {

std::chrono::nanoseconds read_clock(clockid_t id) {
  timespec now{};
  // Cannot fail for the fixed ids below (clock_gettime(2)).
  ::clock_gettime(id, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  WallTime wall() const override {
    return WallTime(std::chrono::floor<std::chrono::milliseconds>(read_clock(CLOCK_REALTIME)));
  }
  std::chrono::nanoseconds monotonic() const override { return read_clock(CLOCK_MONOTONIC); }
  std::chrono::nanoseconds boottime() const override { return read_clock(CLOCK_BOOTTIME); }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string format_rfc3339(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

}  // namespace chaos
