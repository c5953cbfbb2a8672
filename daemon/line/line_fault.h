// LineFault: what a delay line does to the packets of one fault, and what it counts. Shared between the threads that
// read figures and the lines; but for the tally it is constant once a line has it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "line/histogram.h"
#include "line/shapes.h"

namespace chaos {

/// Counted by lines, read by any thread; in skbs as the classifier saw them.
struct LineTally {
  std::atomic<std::uint64_t> arrived{0};        ///< came to user space
  std::atomic<std::uint64_t> over_limit{0};     ///< of these: the line's memory was full
  std::atomic<std::uint64_t> queue_full{0};     ///< dropped, as the queue in front of a slow link does
  std::atomic<std::uint64_t> discarded{0};      ///< dropped at the end, as was asked for
  std::atomic<std::uint64_t> undeliverable{0};  ///< the device had gone
  std::atomic<std::uint64_t> overtook{0};       ///< went at once
  std::atomic<std::uint64_t> bytes{0};          ///< let go
  Histogram requested;                          ///< hold times
  Histogram achieved;
  Histogram late;  ///< achieved less requested
};

struct LineFault {
  std::uint64_t seed = 0;
  std::optional<DelayShape> delay;
  std::optional<RateShape> rate;
  bool duplicate = false;
  bool corrupt = false;
  /// CLOCK_MONOTONIC; 0 until it is armed.
  std::atomic<std::int64_t> started_ns{0};
  LineTally tally;
};

}  // namespace chaos
