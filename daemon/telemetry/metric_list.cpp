#include "telemetry/metric_list.h"

#include <nlohmann/json.hpp>

#include "telemetry/aggregate.h"
#include "telemetry/query.h"

namespace chaos {
namespace {

using nlohmann::json;

/// Whole numbers as such, so that large counters stay exact.
json value_json(std::int64_t value, std::uint32_t scale) {
  if (scale <= 1) return value;
  return static_cast<double>(value) / static_cast<double>(scale);
}

std::string_view type_name(const MetricSpec& metric) {
  return metric.type == MetricType::kCounter ? "counter" : "gauge";
}

}  // namespace

std::string metric_list(const Registry& registry, WallTime time, std::string_view pattern) {
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
                      {"labels", labels_of(series)},
                      {"value", value_json(series.value, series.metric->scale)},
                      {"time", series.as_of == WallTime{} ? at : format_rfc3339(series.as_of)}});
    }
  }
  // Labels are UTF-8 in the registry.
  return json{{"time", at}, {"metrics", std::move(list)}}.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace chaos
