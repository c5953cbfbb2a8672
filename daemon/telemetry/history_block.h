// HistoryBlock: up to an hour or so of steps of all series, packed, as it is written to the history's database: one
// row a series. The history's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "telemetry/aggregate.h"

namespace chaos {

/// One step of one series.
struct HistoryStep {
  Aggregate aggregate;
  std::int64_t after_ms = 0;  ///< its samples are later than this, and not later than aggregate.time_ms
};

struct HistoryBlock {
  static constexpr std::size_t kSteps = 60;

  struct Column {
    std::shared_ptr<const SeriesName> name;
    AggregatePacker steps;
    std::int64_t row = 0;  ///< of its name in the database; 0: not there yet
  };

  std::int64_t id = 0;  ///< in the database; 0: not there yet
  std::int64_t step_ms = 0;
  std::int64_t first_end_ms = 0;  ///< of its first step
  std::int64_t first_ms = 0;      ///< of its first and its last sample
  std::int64_t last_ms = 0;
  std::size_t steps = 0;
  std::size_t written = 0;  ///< steps that are in the database
  std::unordered_map<const SeriesName*, Column> columns;

  [[nodiscard]] static HistoryBlock beginning_with(const EndedStep& step);
  /// Whether the step comes after those that are there, close enough. If not, a new block begins.
  [[nodiscard]] bool takes(const EndedStep& step) const;
  void add(const EndedStep& step);
  /// It is not in the database, or may not be.
  void forget_rows();
  [[nodiscard]] std::size_t memory() const;
};

/// The steps of a column that are in (from_ms, to_ms], with their times. False if the bytes are damaged. `block`: its
/// times; its columns are not looked at.
bool unpack_column(const HistoryBlock& block, std::span<const std::uint8_t> bytes, MetricType type,
                   std::int64_t from_ms, std::int64_t to_ms, std::vector<HistoryStep>& steps);

}  // namespace chaos
