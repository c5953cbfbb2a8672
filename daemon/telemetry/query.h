// Query: series over time, brought to even steps. Pure functions; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "telemetry/aggregate.h"

namespace chaos {

enum class Aggregation : std::uint8_t { kLast, kAverage, kLeast, kMost, kRate, kIncrease };
/// last, avg, min, max, rate (per second), increase. Error: kInvalid with field query.aggregation.
[[nodiscard]] Result<Aggregation> aggregation_from(std::string_view text);
[[nodiscard]] std::string_view to_string(Aggregation how);

struct HistoryQuery {
  std::string metric;                         ///< full name
  std::map<std::string, std::string> labels;  ///< that a series must have
  std::chrono::milliseconds since{};          ///< how far back
  std::chrono::milliseconds step{};           ///< 0: samples as they are
  std::optional<Aggregation> how;             ///< unset: rate of a counter, last of a gauge
};

/// One step's end (Unix ms) and what the series came to in it, in its unit; nothing where there was no sample.
using Step = std::pair<std::int64_t, std::optional<double>>;

/// One answer's bound was not kept.
[[nodiscard]] std::unexpected<Error> too_many_points(std::size_t points, std::size_t most, std::string_view of);

/// Steps of `step_ms` that end at from + step, from + 2 step, ... up to `to`; a sample belongs to the step that it is
/// in, its end included. Rate and increase are between the last sample before a step and the last one in it; a counter
/// that went down has begun anew at 0 (its process was restarted). `step_ms` 0: the samples as they are, or the rates
/// between them. `points`: in the order of their times; what is in an aggregate belongs to its time.
[[nodiscard]] std::vector<Step> steps_of(std::span<const Aggregate> points, std::uint32_t scale, std::int64_t from_ms,
                                         std::int64_t to_ms, std::int64_t step_ms, Aggregation how);

/// Shell pattern on a metric's name (*, ?, [a-z]); without any of these, a part of the name is enough. Empty: all.
[[nodiscard]] bool matches_pattern(std::string_view name, std::string_view pattern);

}  // namespace chaos
