// Sampler: runs the collectors, keeps the newest round and the history of all series, and answers questions about them.
// A thread of its own does it ("telemetry"), which nothing of the fault path waits for: the loop only posts to it, and
// leaves a round out while the last one is not done. What is kept on disk has another thread ("history"), which may
// wait for the disk. All public functions: loop thread; replies come on the loop thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/worker.h"
#include "config/config.h"
#include "plan/services.h"
#include "telemetry/collector.h"
#include "telemetry/exposition.h"
#include "telemetry/history_answer.h"
#include "telemetry/history_file.h"
#include "telemetry/query.h"
#include "telemetry/registry.h"
#include "telemetry/series_history.h"

namespace chaos {

/// One value that the daemon knows about itself.
struct OwnValue {
  const MetricSpec* metric;
  std::vector<std::string> labels{};
  std::int64_t value = 0;
};

class Sampler {
 public:
  using Own = std::function<std::vector<OwnValue>()>;
  using TextReply = std::move_only_function<void(Result<std::string>)>;

  /// `loop` must outlive it. `history`: the file for what is kept on disk. `own` is called on the loop before each
  /// round.
  Sampler(EventLoop& loop, std::vector<std::unique_ptr<Collector>> collectors, const std::filesystem::path& history,
          Own own);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  void configure(const Config& config);
  /// `telemetry.interval` from now on, or `monitoring.metrics_interval`.
  void set_busy(bool busy);
  void see_services(std::vector<ServiceState> services);
  void see_targets(std::vector<TargetState> targets);

  /// metric_list() of those that match; a new round is taken first if the last is older than `telemetry.interval`.
  void metrics(std::string pattern, TextReply reply);
  void exposition(ExpositionFormat format, TextReply reply);
  /// {"metric","type","unit","aggregation","step_ms","series":[{"labels","points":[[Unix ms, value or null]]}]}.
  /// As text, and "problem" if the file cannot be used. Errors: kNotFound (no such metric), kInvalid (more than 11000
  /// points a series, or 200000 in all), kUnavailable (the disk does not answer).
  void history(HistoryQuery query, TextReply reply);

 private:
  struct Core;
  void tick();
  void sample();
  void fresh();
  void rearm();
  void answer(HistoryQuery query, HistoryWindow window, HistoryReading reading, TextReply reply);

  EventLoop& loop_;
  Own own_;
  std::chrono::nanoseconds idle_interval_{};
  std::chrono::nanoseconds busy_interval_{};
  bool busy_ = false;
  std::uint64_t missed_ = 0;
  std::optional<std::chrono::nanoseconds> sampled_at_;  ///< CLOCK_MONOTONIC: when the last round was asked for
  EventLoop::SourcePtr timer_;
  std::chrono::milliseconds step_{};   ///< of the history on disk; 0: there is none
  std::shared_ptr<HistoryFile> file_;  ///< the history worker's
  std::shared_ptr<Core> core_;         ///< the worker's
  Worker history_worker_;              ///< the worker posts to it
  Worker worker_;                      ///< last: joined first
};

}  // namespace chaos
