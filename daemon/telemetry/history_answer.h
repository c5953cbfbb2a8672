// HistoryAnswer: what a question about the past is answered with: memory and file joined, brought to steps, written as
// JSON text piece by piece. Any thread; values only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "telemetry/aggregate.h"
#include "telemetry/history_file.h"
#include "telemetry/query.h"
#include "telemetry/series_history.h"

namespace chaos {

/// The time that a query is about.
struct HistoryWindow {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  std::int64_t step_ms = 0;  ///< 0: samples as they are
  /// What rates begin with lies before it.
  [[nodiscard]] std::int64_t before_ms() const;
};

/// `coarsest`: steps that begin in the file are not shorter than this. Error: kInvalid (more than 11000 steps).
[[nodiscard]] Result<HistoryWindow> window_of(const HistoryQuery& query, std::int64_t now_ms, std::int64_t coarsest_ms);

/// The file's steps as far as they have samples that the memory (from `oldest_ms` on) has not, then the memory's
/// samples that are not in them.
[[nodiscard]] std::vector<Aggregate> joined(std::span<const HistoryStep> file, std::span<const Point> memory,
                                            std::int64_t oldest_ms);

class HistoryAnswer {
 public:
  static constexpr std::size_t kMostPoints = 200'000;  ///< a client, and the next round, can wait for so many

  HistoryAnswer(const HistoryQuery& query, const HistoryWindow& window) : query_(query), window_(window) {}
  /// One series. Error: kInvalid (too many points in all).
  Status add(const SeriesName& name, std::span<const Aggregate> points);
  /// {"metric","type","unit","aggregation","step_ms","series":[{"labels","points":[[Unix ms, value or null]]}]}, and
  /// "problem" if there is one. Error: kNotFound (no series was added).
  [[nodiscard]] Result<std::string> finish(const std::string& problem) &&;

 private:
  const HistoryQuery& query_;
  const HistoryWindow window_;
  std::string head_;    ///< empty: no series yet
  std::string series_;  ///< without the brackets
  std::size_t points_ = 0;
};

}  // namespace chaos
