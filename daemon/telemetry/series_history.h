// SeriesHistory: all series of the registry over the last hour or so, at the resolution at which they were sampled. The
// rounds of a block share their times; a closed block is one piece of memory. Bounded by time and by bytes. The
// sampler's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/clock.h"
#include "telemetry/packed_series.h"
#include "telemetry/registry.h"

namespace chaos {

struct Point {
  std::int64_t time_ms = 0;  ///< Unix
  std::int64_t value = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

class SeriesHistory {
 public:
  struct Limits {
    std::chrono::nanoseconds span = std::chrono::hours(1);
    std::size_t bytes = std::size_t{10} << 20;  ///< of closed blocks: older ones go first
    std::size_t rounds = 240;                   ///< a block
  };
  explicit SeriesHistory(Limits limits) : limits_(limits) {}

  /// Takes down what is present in the registry's current round. A time before the last one's counts as the last one's.
  void add(WallTime time, const Registry& registry);
  /// Of one place, oldest first; absences are left out.
  [[nodiscard]] std::vector<Point> points(Registry::Id id, std::int64_t from_ms, std::int64_t to_ms) const;
  void set_span(std::chrono::nanoseconds span) { limits_.span = span; }

  /// The registry's round with which the oldest block began: places that are absent since then have no history.
  [[nodiscard]] std::uint64_t oldest_round() const;
  [[nodiscard]] std::int64_t oldest_ms() const;
  [[nodiscard]] std::size_t memory() const;
  [[nodiscard]] std::size_t rounds() const;

 private:
  struct Block {
    std::uint64_t first_round = 0;
    std::vector<std::int64_t> times_ms;
    std::vector<std::uint32_t> ends;  ///< by place: where its bytes end in `bytes`
    std::vector<std::uint8_t> bytes;
    [[nodiscard]] std::size_t memory() const;
  };
  void close_block();
  void drop_old(std::int64_t now_ms);
  static void unpack(const Block& block, std::span<const std::uint8_t> bytes, std::int64_t from_ms, std::int64_t to_ms,
                     std::vector<Point>& points);

  Limits limits_;
  std::deque<Block> closed_;
  std::size_t closed_bytes_ = 0;
  Block open_;                         ///< its bytes are in the packers
  std::vector<SeriesPacker> packers_;  ///< by place
};

}  // namespace chaos
