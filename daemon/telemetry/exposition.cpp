#include "telemetry/exposition.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace chaos {
namespace {

constexpr std::string_view kTotal = "_total";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Takes what stands before `separator` off the front.
std::string_view take_until(std::string_view& text, char separator) {
  const auto end = std::min(text.find(separator), text.size());
  const std::string_view part = trimmed(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

/// The weight that one media range of an Accept header has: 1 without "q=", 0 for a number that is none.
double weight_of(std::string_view parameters) {
  while (!parameters.empty()) {
    const std::string_view parameter = take_until(parameters, ';');
    if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
    double weight = 0;
    (void)std::from_chars(parameter.data() + 2, parameter.data() + parameter.size(), weight);
    return weight;
  }
  return 1;
}

void escape(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

/// A histogram's name ends with it.
std::string_view unit_of(std::string_view histogram) { return histogram.substr(histogram.rfind('_') + 1); }

void write_head(std::string& out, const MetricSpec& metric, ExpositionFormat format) {
  const bool histogram = !metric.histogram.empty();
  const bool counter = metric.type == MetricType::kCounter && !histogram;
  const std::string_view unit = histogram ? unit_of(metric.histogram) : metric.unit;
  std::string_view family = histogram ? metric.histogram : metric.name;
  if (format == ExpositionFormat::kOpenMetrics && counter) family.remove_suffix(kTotal.size());
  out += "# HELP ";
  out += family;
  out += ' ';
  escape(out, metric.help, format == ExpositionFormat::kOpenMetrics);
  out += "\n# TYPE ";
  out += family;
  out += histogram ? " histogram\n" : counter ? " counter\n" : " gauge\n";
  if (format == ExpositionFormat::kOpenMetrics && !unit.empty()) {
    out += "# UNIT ";
    out += family;
    out += ' ';
    out += unit;
    out += '\n';
  }
}

void write_begin(std::string& out, const Registry::Series& series) {
  out += series.metric->name;
  for (std::size_t i = 0; i < series.labels.size(); ++i) {
    out += i == 0 ? '{' : ',';
    out += series.metric->labels[i];
    out += "=\"";
    escape(out, series.labels[i], true);
    out += '"';
  }
  if (!series.labels.empty()) out += '}';
  out += ' ';
}

}  // namespace

std::string_view content_type(ExpositionFormat format) {
  return format == ExpositionFormat::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                  : "text/plain; version=0.0.4; charset=utf-8";
}

ExpositionFormat negotiate(std::string_view accept) {
  double open_metrics = 0;
  double text = 0;
  while (!accept.empty()) {
    std::string_view range = take_until(accept, ',');
    const std::string_view type = take_until(range, ';');
    if (type == "application/openmetrics-text") open_metrics = std::max(open_metrics, weight_of(range));
    if (type == "text/plain" || type == "text/*") text = std::max(text, weight_of(range));
  }
  return open_metrics > 0 && open_metrics >= text ? ExpositionFormat::kOpenMetrics : ExpositionFormat::kText;
}

std::string expose(const Registry& registry, ExpositionFormat format) { return Exposition().text(registry, format); }

void Exposition::arrange(Page& page, const Registry& registry, ExpositionFormat format) {
  page.lines.clear();
  std::string begin;
  std::string_view histogram;
  for (const auto& [name, ids] : registry.by_metric()) {
    // The parts of a histogram lie side by side and have one head.
    const MetricSpec& metric = *registry.series()[ids.front()].metric;
    if (metric.histogram.empty() || metric.histogram != histogram) write_head(begin, metric, format);
    histogram = metric.histogram;
    for (const Registry::Id id : ids) {
      write_begin(begin, registry.series()[id]);
      page.lines.push_back({id, std::exchange(begin, {})});
    }
  }
}

std::string Exposition::text(const Registry& registry, ExpositionFormat format) {
  constexpr std::size_t kMore = 4096;
  Page& page = pages_[format == ExpositionFormat::kOpenMetrics ? 1 : 0];
  std::vector<Registry::Id> present;
  present.reserve(registry.size());
  for (Registry::Id id = 0; id < registry.series().size(); ++id) {
    if (registry.present(registry.series()[id])) present.push_back(id);
  }
  if (page.composition != registry.composition() || page.present != present) {
    page.composition = registry.composition();
    page.present = std::move(present);
    arrange(page, registry, format);
  }
  std::string out;
  out.reserve(page.size + kMore);
  for (const Line& line : page.lines) {
    const Registry::Series& series = registry.series()[line.id];
    out += line.begin;
    append_scaled(out, series.value, series.metric->scale);
    out += '\n';
  }
  if (format == ExpositionFormat::kOpenMetrics) out += "# EOF\n";
  page.size = out.size();
  return out;
}

}  // namespace chaos
