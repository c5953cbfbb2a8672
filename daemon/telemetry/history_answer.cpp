#include "telemetry/history_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace chaos {
namespace {

constexpr std::int64_t kMostSteps = 11'000;  // a series and answer, as Prometheus has it
constexpr std::int64_t kHourMs = 3'600'000;

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Aggregation how_of(const HistoryQuery& query, MetricType type) {
  return query.how.value_or(type == MetricType::kCounter ? Aggregation::kRate : Aggregation::kLast);
}

}  // namespace

std::int64_t HistoryWindow::before_ms() const { return from_ms - std::max(step_ms, kHourMs); }

Result<HistoryWindow> window_of(const HistoryQuery& query, std::int64_t now_ms, std::int64_t coarsest_ms) {
  HistoryWindow window{now_ms - query.since.count(), now_ms, query.step.count()};
  if (window.step_ms <= 0) return window;
  window.step_ms = std::max(window.step_ms, coarsest_ms);
  if (const std::int64_t steps = query.since.count() / window.step_ms; steps > kMostSteps) {
    return too_many_points(static_cast<std::size_t>(steps), kMostSteps, "a series");
  }
  // Steps end at whole multiples, so that those of two answers are the same.
  window.from_ms -= window.from_ms % window.step_ms;
  return window;
}

std::vector<Aggregate> joined(std::span<const HistoryStep> file, std::span<const Point> memory,
                              std::int64_t oldest_ms) {
  std::vector<Aggregate> all;
  std::int64_t covered_ms = 0;
  for (const HistoryStep& step : file) {
    if (step.after_ms + 1 >= oldest_ms) continue;
    all.push_back(step.aggregate);
    covered_ms = std::max(covered_ms, step.aggregate.time_ms);
  }
  all.reserve(all.size() + memory.size());
  for (const Point& point : memory) {
    if (point.time_ms > covered_ms) all.push_back(Aggregate::of(point.time_ms, point.value));
  }
  return all;
}

Status HistoryAnswer::add(const SeriesName& name, std::span<const Aggregate> points) {
  const Aggregation how = how_of(query_, name.type);
  if (head_.empty()) {
    head_ = fmt::format(R"({{"metric":{},"type":"{}","unit":{},"aggregation":"{}","step_ms":{},"series":[)",
                        json_text(name.metric), name.type == MetricType::kCounter ? "counter" : "gauge",
                        json_text(name.unit), to_string(how), window_.step_ms);
  }
  const auto steps = steps_of(points, name.scale, window_.from_ms, window_.to_ms, window_.step_ms, how);
  if (std::ranges::none_of(steps, [](const Step& step) { return step.second.has_value(); })) return {};
  points_ += steps.size();
  if (points_ > kMostPoints) return too_many_points(points_, kMostPoints, "an answer");
  auto out = std::back_inserter(series_);
  fmt::format_to(out, R"({}{{"labels":{},"points":[)", series_.empty() ? "" : ",", name.labels);
  bool first = true;
  for (const auto& [end_ms, value] : steps) {
    if (!std::exchange(first, false)) series_ += ',';
    if (value) {
      fmt::format_to(out, "[{},{}]", end_ms, *value);
    } else {
      fmt::format_to(out, "[{},null]", end_ms);
    }
  }
  series_ += "]}";
  return {};
}

Result<std::string> HistoryAnswer::finish(const std::string& problem) && {
  if (head_.empty()) {
    return fail(Errc::kNotFound, "there is no metric " + query_.metric, "query.metric", {},
                "GET /api/monitoring/metrics lists them");
  }
  std::string text = std::move(head_);
  text += series_;
  text += ']';
  if (!problem.empty()) text += ",\"problem\":" + json_text(problem);
  text += "}\n";
  return text;
}

}  // namespace chaos
