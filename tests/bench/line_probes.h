// What bench_line measures with: single packets beside single timers, and floods of small packets. Needs root; throws
// std::runtime_error.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "support/child.h"
#include "support/net.h"

namespace chaos::bench {

inline constexpr std::uint16_t kProbePort = 6000;

/// A busy process for each CPU while it lives.
class Hogs {
 public:
  explicit Hogs(bool any);

 private:
  std::vector<std::unique_ptr<test::Child>> hogs_;
};

struct Lateness {
  std::vector<double> line_us;   ///< from sendto(2) to the kernel's receive time stamp, less the delay
  std::vector<double> timer_us;  ///< from the due time to the return of epoll_pwait2(2)
};

/// Packets and timers by turns, `count` of each. A packet that does not come in a second more than it should is an
/// error.
[[nodiscard]] Lateness probe_lateness(const test::VethPair& net, std::chrono::microseconds delay, unsigned count);

struct Flood {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t dropped = 0;  ///< by the receiver's socket
  double seconds = 0;
  double cpu_seconds = 0;  ///< of the sender
};

/// Small packets from the left host to the right one, as fast as send(2) takes them.
[[nodiscard]] Flood run_flood(const test::VethPair& net, std::uint16_t port, double seconds);

}  // namespace chaos::bench
