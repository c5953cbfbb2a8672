// Aggregate: what the samples of a series came to in one step of time, and Downsampler: the registry's rounds, taken
// together step by step. Whole numbers as in the registry, exact. One thread each.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "telemetry/packed_series.h"
#include "telemetry/registry.h"

namespace chaos {

/// How far a counter went from one sample to the next: one that went down has begun anew at 0.
[[nodiscard]] constexpr std::uint64_t growth(std::int64_t from, std::int64_t to) {
  return to >= from ? static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from)
                    : static_cast<std::uint64_t>(to);
}

struct Aggregate {
  std::int64_t time_ms = 0;  ///< Unix; the step's end, or its last sample's if it was cut short
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::uint64_t grown = 0;   ///< sum of growth() from sample to sample
  std::uint64_t excess = 0;  ///< sum of (sample - least), at most 2^64 - 1
  std::uint32_t count = 0;   ///< 0: no sample

  [[nodiscard]] static constexpr Aggregate of(std::int64_t time_ms, std::int64_t value) {
    return {time_ms, value, value, value, value, 0, 0, 1};
  }
  void add(std::int64_t value) { add(of(time_ms, value)); }
  /// Of samples that came later; takes over its time.
  void add(const Aggregate& later);
  [[nodiscard]] double average() const;
  friend bool operator==(const Aggregate&, const Aggregate&) = default;
};

/// The aggregates of one series over a block of steps, in few bytes: what does not change, or grows evenly, costs
/// nothing per step.
class AggregatePacker {
 public:
  /// `type`: of a gauge `first` and `grown` are not kept; it comes back as if it had but its last sample.
  explicit AggregatePacker(MetricType type) : type_(type) {}
  /// A step without samples has count 0. Its time is not kept: it is its place in the block that says it.
  void add(const Aggregate& aggregate);
  [[nodiscard]] std::size_t steps() const { return steps_; }
  /// The bytes so far; more may be added afterwards.
  [[nodiscard]] std::vector<std::uint8_t> finish() const;
  [[nodiscard]] std::size_t memory() const;

 private:
  MetricType type_;
  std::size_t steps_ = 0;
  /// least, most - least, last - least, excess, count; of a counter first - least, grown - (most - least)
  std::array<SeriesPacker, 7> columns_;
};

/// In the order of the steps, `time_ms` 0. nullopt if the bytes are damaged.
[[nodiscard]] std::optional<std::vector<Aggregate>> unpack_aggregates(std::span<const std::uint8_t> bytes,
                                                                      MetricType type);

/// Who a series is, for those who keep it longer than the registry does.
struct SeriesName {
  std::string metric;
  std::string labels;  ///< a JSON object, names in order
  MetricType type = MetricType::kGauge;
  std::string unit;
  std::uint32_t scale = 1;
  friend bool operator==(const SeriesName&, const SeriesName&) = default;
};
[[nodiscard]] SeriesName name_of(const Registry::Series& series);
[[nodiscard]] nlohmann::json labels_of(const Registry::Series& series);

/// One step of all series.
struct EndedStep {
  std::int64_t step_ms = 0;
  std::int64_t end_ms = 0;    ///< a multiple of step_ms; a sample belongs to the step that ends at or after it
  std::int64_t first_ms = 0;  ///< of the first and the last round in it
  std::int64_t last_ms = 0;
  struct Entry {
    std::shared_ptr<const SeriesName> name;  ///< the same object as long as it is the same series
    Aggregate aggregate;
  };
  std::vector<Entry> entries;
};

class Downsampler {
 public:
  /// From the next step on. Zero: nothing is taken together.
  void set_step(std::chrono::milliseconds step) { wanted_ms_ = step.count(); }
  /// Takes down what is present in the registry's current round; the step that this ended, if it did. A time before the
  /// last one's counts as the last one's, unless it is more than a step before it: then the clock was set.
  [[nodiscard]] std::optional<EndedStep> add(WallTime time, const Registry& registry);
  /// What is not complete yet; nullopt if there is nothing.
  [[nodiscard]] std::optional<EndedStep> cut_short();

 private:
  struct Place {
    std::shared_ptr<const SeriesName> name;
    std::uint64_t since = 0;
    Aggregate aggregate;
  };
  [[nodiscard]] EndedStep take();

  std::int64_t wanted_ms_ = 0;
  std::int64_t step_ms_ = 0;
  std::int64_t end_ms_ = 0;  ///< of the step that is open; 0: none is
  std::int64_t first_ms_ = 0;
  std::int64_t last_ms_ = 0;
  std::vector<Place> places_;
};

}  // namespace chaos
