#include "telemetry/sampler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "telemetry/metric_list.h"

namespace chaos {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

constexpr std::uint32_t kMicro = 1'000'000;
constexpr std::size_t kMostWaiting = 16;  // jobs of the history's thread
/// The memory's oldest goes meanwhile by no more than this.
constexpr milliseconds kMargin = std::chrono::minutes(10);
constexpr std::uint64_t kRoundsKept = 3;  // an absent series' place, without history

constexpr MetricSpec kDuration{"chaosd_collector_duration_seconds",     MetricType::kGauge, "seconds", kMicro,
                               "CPU time of the collector's last run.", {"collector"}};
constexpr MetricSpec kCost{"chaosd_collector_cpu_seconds_total",    MetricType::kCounter, "seconds", kMicro,
                           "CPU time of all the collector's runs.", {"collector"}};
constexpr MetricSpec kRuns{"chaosd_collector_runs_total", MetricType::kCounter, "", 1,
                           "Runs of the collector.",      {"collector"}};
constexpr MetricSpec kErrors{"chaosd_collector_errors_total",
                             MetricType::kCounter,
                             "",
                             1,
                             "Runs of the collector in which something could not be read.",
                             {"collector"}};
constexpr MetricSpec kSeries{"chaosd_telemetry_series", MetricType::kGauge, "", 1, "Series that are kept.", {}};
constexpr MetricSpec kRefused{"chaosd_telemetry_series_refused_total",
                              MetricType::kCounter,
                              "",
                              1,
                              "Values left out because there were too many series.",
                              {}};
constexpr MetricSpec kMissed{"chaosd_telemetry_rounds_missed_total",
                             MetricType::kCounter,
                             "",
                             1,
                             "Rounds left out because the one before was not done.",
                             {}};
constexpr MetricSpec kHistoryBytes{
    "chaosd_telemetry_history_bytes", MetricType::kGauge, "bytes", 1, "Memory of the history.", {}};
constexpr MetricSpec kHistorySpan{"chaosd_telemetry_history_seconds",
                                  MetricType::kGauge,
                                  "seconds",
                                  1000,
                                  "How far the history in memory goes back.",
                                  {}};

constexpr MetricSpec kFileBytes{
    "chaosd_telemetry_history_file_bytes", MetricType::kGauge, "bytes", 1, "Size of the history on disk.", {}};
constexpr MetricSpec kFileSpan{"chaosd_telemetry_history_file_seconds",
                               MetricType::kGauge,
                               "seconds",
                               1000,
                               "How far the history on disk goes back.",
                               {}};
constexpr MetricSpec kFileErrors{"chaosd_telemetry_history_file_errors_total",
                                 MetricType::kCounter,
                                 "",
                                 1,
                                 "Times that the history on disk could not be opened, written or read.",
                                 {}};
constexpr MetricSpec kLostSteps{"chaosd_telemetry_history_lost_steps_total",
                                MetricType::kCounter,
                                "",
                                1,
                                "Steps of the history that were never written to disk.",
                                {}};

nanoseconds thread_cpu_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

std::int64_t in_us(nanoseconds time) { return std::chrono::duration_cast<std::chrono::microseconds>(time).count(); }

std::int64_t whole(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

/// What belongs to the worker.
struct Sampler::Core {
  struct Running {
    std::unique_ptr<Collector> collector;
    std::optional<nanoseconds> ran_at;  ///< CLOCK_MONOTONIC
    WallTime ran_at_wall{};
    nanoseconds last_cost{};
    nanoseconds cost{};
    std::uint64_t runs = 0;
    std::uint64_t errors = 0;
    bool complained = false;
    Registry found;  ///< of one that is not run every round: what its last run set
  };
  std::vector<Running> running;
  Registry registry;
  Exposition exposition;
  SeriesHistory history{SeriesHistory::Limits{}};
  Downsampler downsampler;
  std::atomic<std::int64_t> oldest_ms{0};  ///< of the history in memory; any thread
  WallTime time{};

  /// The step that the round ended, if it did.
  std::optional<EndedStep> run(const std::vector<OwnValue>& own, std::uint64_t missed,
                               const HistoryFile::Figures& file);
  void run(Running& one);
  static void set_costs(const Running& one, Registry& into);
  [[nodiscard]] Result<std::string> history_text(const HistoryQuery& query, const HistoryWindow& window,
                                                 HistoryReading reading) const;
};

void Sampler::Core::run(Running& one) {
  const nanoseconds now = system_clock().monotonic();
  const nanoseconds period = one.collector->least_period();
  const bool sometimes = period > nanoseconds(0);
  if (sometimes && one.ran_at && now - *one.ran_at < period) return;
  one.ran_at = now;
  one.ran_at_wall = system_clock().wall();
  const nanoseconds before = thread_cpu_time();
  if (sometimes) one.found.begin_round();
  const Status status = one.collector->collect(sometimes ? one.found : registry);
  one.last_cost = thread_cpu_time() - before;
  one.cost += one.last_cost;
  ++one.runs;
  if (!status) ++one.errors;
  if (!status && !one.complained) {
    spdlog::warn("telemetry: {}: {}", one.collector->name(), status.error().message);
  }
  one.complained = !status;  // once until it works again
}

void Sampler::Core::set_costs(const Running& one, Registry& into) {
  const std::string_view name = one.collector->name();
  into.set(kDuration, {name}, in_us(one.last_cost));
  into.set(kCost, {name}, in_us(one.cost));
  into.set(kRuns, {name}, whole(one.runs));
  into.set(kErrors, {name}, whole(one.errors));
}

std::optional<EndedStep> Sampler::Core::run(const std::vector<OwnValue>& own, std::uint64_t missed,
                                            const HistoryFile::Figures& file) {
  registry.begin_round();
  time = system_clock().wall();
  std::vector<std::string_view> labels;
  const auto set = [&](Registry& into, const MetricSpec& metric, const std::vector<std::string>& values,
                       std::int64_t value, WallTime as_of = {}) {
    labels.assign(values.begin(), values.end());
    into.set(metric, labels, value, as_of);
  };
  for (const OwnValue& value : own) set(registry, *value.metric, value.labels, value.value);
  for (Running& one : running) {
    run(one);
    for (const Registry::Series& series : one.found.series()) {
      if (one.found.present(series)) set(registry, *series.metric, series.labels, series.value, one.ran_at_wall);
    }
    set_costs(one, registry);
  }
  registry.set(kSeries, whole(registry.size()));
  registry.set(kRefused, whole(registry.refused()));
  registry.set(kMissed, whole(missed));
  registry.set(kHistoryBytes, whole(history.memory()));
  const auto back_to = [this](std::int64_t then_ms) {
    return then_ms == 0 ? 0 : std::max<std::int64_t>(time.time_since_epoch().count() - then_ms, 0);
  };
  registry.set(kHistorySpan, back_to(history.oldest_ms()));
  registry.set(kFileBytes, whole(file.bytes.load()));
  registry.set(kFileSpan, back_to(file.oldest_ms.load()));
  registry.set(kFileErrors, whole(file.errors.load()));
  registry.set(kLostSteps, whole(file.lost_steps.load()));
  history.add(time, registry);
  oldest_ms.store(history.oldest_ms());
  // A place without history is free for another series.
  registry.forget_before(std::min(history.oldest_round(), registry.round() - std::min(registry.round(), kRoundsKept)));
  return downsampler.add(time, registry);
}

Result<std::string> Sampler::Core::history_text(const HistoryQuery& query, const HistoryWindow& window,
                                                HistoryReading reading) const {
  HistoryAnswer answer(query, window);
  // Nothing in memory yet: all of it is in the file.
  const std::int64_t begin_ms = history.oldest_ms() == 0 ? window.to_ms : history.oldest_ms();
  for (Registry::Id id = 0; id < registry.series().size(); ++id) {
    const Registry::Series& series = registry.series()[id];
    if (series.metric == nullptr || series.metric->name != query.metric) continue;
    const SeriesName name = name_of(series);
    if (!labels_fit(name.labels, query.labels)) continue;
    const auto kept = std::ranges::find(reading.series, name, &FoundSeries::name);
    const auto points = history.points(id, window.before_ms(), window.to_ms);
    const std::vector<HistoryStep> none;
    const auto all = joined(kept == reading.series.end() ? none : kept->steps, points, begin_ms);
    if (Status status = answer.add(name, all); !status) return std::unexpected(status.error());
    if (kept != reading.series.end()) reading.series.erase(kept);
  }
  // What has ended longer ago than the memory goes back, or in an earlier chaosd.
  for (const FoundSeries& series : reading.series) {
    if (Status status = answer.add(series.name, joined(series.steps, {}, begin_ms)); !status) {
      return std::unexpected(status.error());
    }
  }
  return std::move(answer).finish(reading.problem);
}

Sampler::Sampler(EventLoop& loop, std::vector<std::unique_ptr<Collector>> collectors,
                 const std::filesystem::path& history, Own own)
    : loop_(loop),
      own_(std::move(own)),
      file_(std::make_shared<HistoryFile>(history)),
      core_(std::make_shared<Core>()),
      history_worker_("history"),
      worker_("telemetry") {
  for (auto& collector : collectors) {
    Core::Running one;
    one.collector = std::move(collector);
    core_->running.push_back(std::move(one));
  }
}

Sampler::~Sampler() {
  worker_.post([core = core_, file = file_, &history = history_worker_] {
    history.post([step = core->downsampler.cut_short(), file] {
      if (step) file->add(*step);
      file->finish();
    });
  });
}

void Sampler::configure(const Config& config) {
  idle_interval_ = std::max(config.monitoring.metrics_interval, config.telemetry.interval);
  busy_interval_ = config.telemetry.interval;
  step_ = config.store.history ? std::chrono::duration_cast<milliseconds>(config.store.history_step) : milliseconds(0);
  worker_.post([core = core_, span = config.telemetry.history, step = step_] {
    core->history.set_span(span);
    core->downsampler.set_step(step);
  });
  std::optional<HistoryLimits> limits;
  if (config.store.history) {
    limits = HistoryLimits{std::chrono::duration_cast<milliseconds>(config.store.history_retention),
                           config.store.history_size};
  }
  history_worker_.post([file = file_, limits] { file->configure(limits); });
  if (timer_) return rearm();
  auto timer = loop_.add_timer(busy_ ? busy_interval_ : idle_interval_, [this] { tick(); });
  if (!timer) return spdlog::error("telemetry is not sampled: {}", timer.error().message);
  timer_ = std::move(*timer);
  sample();
}

void Sampler::rearm() {
  if (timer_) timer_->rearm(busy_ ? busy_interval_ : idle_interval_);
}

void Sampler::set_busy(bool busy) {
  if (std::exchange(busy_, busy) == busy) return;
  // The beginning and the end of a fault are what rates are taken from.
  sample();
  rearm();
}

void Sampler::see_services(std::vector<ServiceState> services) {
  worker_.post([core = core_, services = std::move(services)] {
    for (auto& one : core->running) one.collector->see_services(services);
  });
}

void Sampler::see_targets(std::vector<TargetState> targets) {
  worker_.post([core = core_, targets = std::move(targets)] {
    for (auto& one : core->running) one.collector->see_targets(targets);
  });
}

void Sampler::tick() {
  sample();
  rearm();
}

void Sampler::sample() {
  // Somebody waits for the disk, or the CPU: more rounds would only queue up.
  if (worker_.pending() > 0) {
    ++missed_;
    return;
  }
  sampled_at_ = system_clock().monotonic();
  worker_.post([core = core_, own = own_(), missed = missed_, file = file_, &history = history_worker_] {
    auto step = core->run(own, missed, file->figures());
    if (!step) return;
    // The disk does not answer: memory is not what waits for it.
    if (history.pending() >= kMostWaiting) return file->lose();
    history.post([step = std::move(*step), file] { file->add(step); });
  });
}

void Sampler::fresh() {
  if (!sampled_at_ || system_clock().monotonic() - *sampled_at_ >= busy_interval_) sample();
}

void Sampler::metrics(std::string pattern, TextReply reply) {
  fresh();
  worker_.post([core = core_, &loop = loop_, pattern = std::move(pattern), reply = std::move(reply)]() mutable {
    loop.post([text = metric_list(core->registry, core->time, pattern), reply = std::move(reply)]() mutable {
      reply(std::move(text));
    });
  });
}

void Sampler::exposition(ExpositionFormat format, TextReply reply) {
  fresh();
  worker_.post([core = core_, &loop = loop_, format, reply = std::move(reply)]() mutable {
    loop.post([text = core->exposition.text(core->registry, format), reply = std::move(reply)]() mutable {
      reply(std::move(text));
    });
  });
}

void Sampler::history(HistoryQuery query, TextReply reply) {
  const std::int64_t now_ms = system_clock().wall().time_since_epoch().count();
  const std::int64_t oldest_ms = core_->oldest_ms.load() == 0 ? now_ms : core_->oldest_ms.load();
  const bool from_file = step_ > milliseconds(0) && now_ms - query.since.count() < oldest_ms;
  const auto window = window_of(query, now_ms, from_file ? step_.count() : 0);
  if (!window) return reply(std::unexpected(window.error()));
  if (!from_file) return answer(std::move(query), *window, {}, std::move(reply));
  if (history_worker_.pending() >= kMostWaiting) {
    return reply(
        fail(Errc::kUnavailable, "the disk with the history does not answer", {}, {}, "ask for a shorter time"));
  }
  HistoryRange range{.metric = query.metric,
                     .labels = query.labels,
                     .from_ms = window->before_ms(),
                     .to_ms = oldest_ms + kMargin.count(),
                     .merge_ms = window->step_ms,
                     .merge_until_ms = oldest_ms,
                     .most = HistoryAnswer::kMostPoints};
  history_worker_.post([this, file = file_, &loop = loop_, range = std::move(range), query = std::move(query),
                        window = *window, reply = std::move(reply)]() mutable {
    loop.post(
        [this, reading = file->read(range), query = std::move(query), window, reply = std::move(reply)]() mutable {
          if (!reading) return reply(std::unexpected(reading.error()));
          answer(std::move(query), window, std::move(*reading), std::move(reply));
        });
  });
}

void Sampler::answer(HistoryQuery query, HistoryWindow window, HistoryReading reading, TextReply reply) {
  worker_.post([core = core_, &loop = loop_, query = std::move(query), window, reading = std::move(reading),
                reply = std::move(reply)]() mutable {
    loop.post([text = core->history_text(query, window, std::move(reading)), reply = std::move(reply)]() mutable {
      reply(std::move(text));
    });
  });
}

}  // namespace chaos
