// Clock: time as the daemon sees it. Real everywhere but in tests of pure logic. Thread-safe.
#pragma once

#include <chrono>
#include <string>

namespace chaos {

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  /// UTC, for people and records.
  [[nodiscard]] virtual WallTime wall() const = 0;
  /// CLOCK_MONOTONIC in ns, the base of bpf_ktime_get_ns.
  [[nodiscard]] virtual std::chrono::nanoseconds monotonic() const = 0;
  /// CLOCK_BOOTTIME in ns, the base of bpf_ktime_get_boot_ns (goes on while the host is suspended).
  [[nodiscard]] virtual std::chrono::nanoseconds boottime() const = 0;
};

/// The host's clocks. Lives for the whole process.
[[nodiscard]] const Clock& system_clock();

/// RFC 3339, UTC, milliseconds: "2026-11-24T06:34:37.123Z".
[[nodiscard]] std::string format_rfc3339(WallTime time);

}  // namespace chaos
