#include "telemetry/sampler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <time.h>

#include <algorithm>
#include <set>

namespace chaos {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

constexpr std::int64_t kMostPoints = 11'000;       // a series and answer, as Prometheus has it
constexpr std::size_t kMostPointsInAll = 500'000;  // an answer: what a client and the next round can wait for
constexpr std::uint32_t kMicro = 1'000'000;
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

nanoseconds thread_cpu_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

std::int64_t in_us(nanoseconds time) { return std::chrono::duration_cast<std::chrono::microseconds>(time).count(); }

json labels_json(const Registry::Series& series) {
  json labels = json::object();
  for (std::size_t i = 0; i < series.labels.size(); ++i)
    labels[std::string(series.metric->labels[i])] = series.labels[i];
  return labels;
}

/// Whole numbers as such, so that large counters stay exact.
json value_json(std::int64_t value, std::uint32_t scale) {
  if (scale <= 1) return value;
  return static_cast<double>(value) / static_cast<double>(scale);
}

std::string_view type_name(const MetricSpec& metric) {
  return metric.type == MetricType::kCounter ? "counter" : "gauge";
}

std::unexpected<Error> too_many(std::size_t points, std::size_t most, std::string_view of) {
  return fail(Errc::kInvalid, fmt::format("{} points are too many for one answer", points), "query.step",
              fmt::format("at most {} points {}", most, of), "ask for a longer step, a shorter time, or fewer series");
}

}  // namespace

/// What belongs to the worker.
struct Sampler::Core {
  struct Running {
    std::unique_ptr<Collector> collector;
    std::optional<nanoseconds> ran_at;  ///< CLOCK_MONOTONIC
    nanoseconds last_cost{};
    nanoseconds cost{};
    std::uint64_t runs = 0;
    std::uint64_t errors = 0;
    bool complained = false;
    Registry found;  ///< of one that is not run every round: what its last run set
  };
  std::vector<Running> running;
  Registry registry;
  SeriesHistory history{SeriesHistory::Limits{}};
  WallTime time{};

  void run(const std::vector<OwnValue>& own, std::uint64_t missed);
  void run(Running& one);
  static void set_costs(const Running& one, Registry& into);
  [[nodiscard]] json metrics_json(const std::string& pattern) const;
  [[nodiscard]] Result<json> history_json(const HistoryQuery& query) const;
};

void Sampler::Core::run(Running& one) {
  const nanoseconds now = system_clock().monotonic();
  const nanoseconds period = one.collector->least_period();
  const bool sometimes = period > nanoseconds(0);
  if (sometimes && one.ran_at && now - *one.ran_at < period) return;
  one.ran_at = now;
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
  into.set(kRuns, {name}, static_cast<std::int64_t>(one.runs));
  into.set(kErrors, {name}, static_cast<std::int64_t>(one.errors));
}

void Sampler::Core::run(const std::vector<OwnValue>& own, std::uint64_t missed) {
  registry.begin_round();
  time = system_clock().wall();
  std::vector<std::string_view> labels;
  const auto set = [&](Registry& into, const MetricSpec& metric, const std::vector<std::string>& values,
                       std::int64_t value) {
    labels.assign(values.begin(), values.end());
    into.set(metric, labels, value);
  };
  for (const OwnValue& value : own) set(registry, *value.metric, value.labels, value.value);
  for (Running& one : running) {
    run(one);
    for (const Registry::Series& series : one.found.series()) {
      if (one.found.present(series)) set(registry, *series.metric, series.labels, series.value);
    }
    set_costs(one, registry);
  }
  registry.set(kSeries, static_cast<std::int64_t>(registry.size()));
  registry.set(kRefused, static_cast<std::int64_t>(registry.refused()));
  registry.set(kMissed, static_cast<std::int64_t>(missed));
  registry.set(kHistoryBytes, static_cast<std::int64_t>(history.memory()));
  const std::int64_t oldest_ms = history.oldest_ms();
  registry.set(kHistorySpan, oldest_ms == 0 ? 0 : time.time_since_epoch().count() - oldest_ms);
  history.add(time, registry);
  // A place without history is free for another series.
  registry.forget_before(std::min(history.oldest_round(), registry.round() - std::min(registry.round(), kRoundsKept)));
}

json Sampler::Core::metrics_json(const std::string& pattern) const {
  const std::string at = format_rfc3339(time);
  json list = json::array();
  for (const auto& [name, ids] : registry.by_metric()) {
    if (!matches_pattern(name, pattern)) continue;
    for (const Registry::Id id : ids) {
      const Registry::Series& series = registry.series()[id];
      list.push_back({{"name", name},
                      {"type", type_name(*series.metric)},
                      {"unit", series.metric->unit},
                      {"help", series.metric->help},
                      {"labels", labels_json(series)},
                      {"value", value_json(series.value, series.metric->scale)},
                      {"time", at}});
    }
  }
  return {{"time", at}, {"metrics", std::move(list)}};
}

Result<json> Sampler::Core::history_json(const HistoryQuery& query) const {
  const MetricSpec* metric = nullptr;
  json list = json::array();
  const std::int64_t to_ms = system_clock().wall().time_since_epoch().count();
  std::int64_t from_ms = to_ms - query.since.count();
  const std::int64_t step_ms = query.step.count();
  if (step_ms > 0 && (to_ms - from_ms) / step_ms > kMostPoints) {
    return too_many(static_cast<std::size_t>((to_ms - from_ms) / step_ms), kMostPoints, "a series");
  }
  std::size_t all_points = 0;
  // Steps end at whole multiples, so that those of two answers are the same.
  if (step_ms > 0) from_ms -= from_ms % step_ms;
  for (Registry::Id id = 0; id < registry.series().size(); ++id) {
    const Registry::Series& series = registry.series()[id];
    if (series.metric == nullptr || series.metric->name != query.metric) continue;
    metric = series.metric;
    const json labels = labels_json(series);
    const bool wanted = std::ranges::all_of(
        query.labels, [&](const auto& label) { return labels.value(label.first, "") == label.second; });
    if (!wanted) continue;
    const bool counter = metric->type == MetricType::kCounter;
    const Aggregation how = query.how.value_or(counter ? Aggregation::kRate : Aggregation::kLast);
    // One step more, for what rates begin with.
    const auto points = history.points(
        id, from_ms - std::max<std::int64_t>(step_ms, milliseconds(std::chrono::hours(1)).count()), to_ms);
    const auto steps = steps_of(points, metric->scale, from_ms, to_ms, step_ms, how);
    all_points += steps.size();
    if (all_points > kMostPointsInAll) return too_many(all_points, kMostPointsInAll, "an answer");
    json values = json::array();
    bool any = false;
    for (const auto& [end_ms, value] : steps) {
      any = any || value.has_value();
      values.push_back({end_ms, value ? json(*value) : json(nullptr)});
    }
    if (any) list.push_back({{"labels", labels}, {"points", std::move(values)}});
  }
  if (metric == nullptr) {
    return fail(Errc::kNotFound, "there is no metric " + query.metric, "query.metric", {},
                "GET /api/monitoring/metrics lists them");
  }
  const Aggregation how =
      query.how.value_or(metric->type == MetricType::kCounter ? Aggregation::kRate : Aggregation::kLast);
  return json{{"metric", metric->name},        {"type", type_name(*metric)}, {"unit", metric->unit},
              {"aggregation", to_string(how)}, {"step_ms", step_ms},         {"series", std::move(list)}};
}

Sampler::Sampler(EventLoop& loop, std::vector<std::unique_ptr<Collector>> collectors, Own own)
    : loop_(loop), own_(std::move(own)), core_(std::make_shared<Core>()), worker_("telemetry") {
  for (auto& collector : collectors) {
    Core::Running one;
    one.collector = std::move(collector);
    core_->running.push_back(std::move(one));
  }
}

Sampler::~Sampler() = default;

void Sampler::configure(const Config& config) {
  idle_interval_ = std::max(config.monitoring.metrics_interval, config.telemetry.interval);
  busy_interval_ = config.telemetry.interval;
  worker_.post([core = core_, span = config.telemetry.history] { core->history.set_span(span); });
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
  worker_.post([core = core_, own = own_(), missed = missed_] { core->run(own, missed); });
}

void Sampler::fresh() {
  if (!sampled_at_ || system_clock().monotonic() - *sampled_at_ >= busy_interval_) sample();
}

void Sampler::metrics(std::string pattern, JsonReply reply) {
  fresh();
  worker_.post([core = core_, &loop = loop_, pattern = std::move(pattern), reply = std::move(reply)]() mutable {
    loop.post([answer = core->metrics_json(pattern), reply = std::move(reply)]() mutable { reply(std::move(answer)); });
  });
}

void Sampler::exposition(ExpositionFormat format, TextReply reply) {
  fresh();
  worker_.post([core = core_, &loop = loop_, format, reply = std::move(reply)]() mutable {
    loop.post([text = expose(core->registry, format), reply = std::move(reply)]() mutable { reply(std::move(text)); });
  });
}

void Sampler::history(HistoryQuery query, JsonReply reply) {
  worker_.post([core = core_, &loop = loop_, query = std::move(query), reply = std::move(reply)]() mutable {
    loop.post([answer = core->history_json(query), reply = std::move(reply)]() mutable { reply(std::move(answer)); });
  });
}

}  // namespace chaos
