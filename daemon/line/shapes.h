// Shapes: what a delay line does to packets in time, as pure functions and values: how long a packet is held, and when
// a link of some rate would have sent it. No clock, no state but what is shown.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace chaos {

enum class Distribution { kUniform, kNormal, kPareto, kParetoNormal, kEmpirical };

struct DelayShape {
  std::chrono::nanoseconds delay{0};
  /// uniform: half the width; normal, pareto, paretonormal: the standard deviation.
  std::chrono::nanoseconds jitter{0};
  Distribution distribution = Distribution::kUniform;
  /// empirical: added to `delay`, at evenly spaced quantiles from the least to the largest, ascending; at least two.
  std::vector<std::chrono::nanoseconds> table;
  std::uint64_t reorder_threshold = 0;  ///< of 2^32: this share goes at once and overtakes what is held
  /// From `ramp_from` to `delay` in a straight line.
  std::chrono::nanoseconds ramp_from{0};
  std::chrono::nanoseconds ramp_over{0};  ///< 0: no ramp
  /// Held for `pulse_on`, not held for `pulse_off`, and so on.
  std::chrono::nanoseconds pulse_on{0};
  std::chrono::nanoseconds pulse_off{0};  ///< 0: no pulses
};

/// A number from [0, 1) of the upper bits of a hash.
[[nodiscard]] double unit_of(std::uint64_t hash);
/// Another hash of one: a stream of numbers from one seed (splitmix64).
[[nodiscard]] std::uint64_t next_hash(std::uint64_t hash);

/// How long a packet is to be held that comes `since_start` after the fault began. The same hash gives the same delay;
/// never negative.
[[nodiscard]] std::chrono::nanoseconds requested_delay(const DelayShape& shape, std::uint64_t hash,
                                                       std::chrono::nanoseconds since_start);
/// The least that a shape can ask for where nothing is cut off at zero; below 0: some would have to be.
[[nodiscard]] std::chrono::nanoseconds least_delay(const DelayShape& shape);

struct RateShape {
  std::uint64_t bits_per_second = 0;
  std::uint64_t burst_bytes = 0;
  std::uint64_t queue_bytes = 0;
};

/// A link of some rate with a bounded queue in front of it: a token bucket, told as the time at which it is free again
/// (the virtual scheduling algorithm of ITU-T I.371).
class RateQueue {
 public:
  /// When a packet that comes at `now` has left the link; empty: the queue is full, it is dropped.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> depart(const RateShape& shape, std::chrono::nanoseconds now,
                                                               std::uint64_t bytes);

 private:
  double free_at_ns_ = 0;
};

}  // namespace chaos
