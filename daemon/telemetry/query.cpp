#include "telemetry/query.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <string>

namespace chaos {
namespace {

constexpr std::array<std::pair<std::string_view, Aggregation>, 6> kNames{{{"last", Aggregation::kLast},
                                                                          {"avg", Aggregation::kAverage},
                                                                          {"min", Aggregation::kLeast},
                                                                          {"max", Aggregation::kMost},
                                                                          {"rate", Aggregation::kRate},
                                                                          {"increase", Aggregation::kIncrease}}};

bool is_difference(Aggregation how) { return how == Aggregation::kRate || how == Aggregation::kIncrease; }

std::optional<double> difference(const Aggregate* before, std::span<const Aggregate> inside, Aggregation how) {
  constexpr double kMsPerSecond = 1000;
  if (inside.empty()) return std::nullopt;
  const Aggregate* from = before != nullptr ? before : &inside.front();
  const std::int64_t span_ms = inside.back().time_ms - from->time_ms;
  if (span_ms <= 0) return std::nullopt;
  std::uint64_t grown = 0;
  const Aggregate* last = from;
  for (const Aggregate& point : inside) {
    if (&point != from) grown += growth(last->last, point.first) + point.grown;
    last = &point;
  }
  const auto all = static_cast<double>(grown);
  return how == Aggregation::kRate ? all * kMsPerSecond / static_cast<double>(span_ms) : all;
}

std::optional<double> level(std::span<const Aggregate> inside, Aggregation how) {
  if (inside.empty()) return std::nullopt;
  if (how == Aggregation::kLeast) return static_cast<double>(std::ranges::min(inside, {}, &Aggregate::least).least);
  if (how == Aggregation::kMost) return static_cast<double>(std::ranges::max(inside, {}, &Aggregate::most).most);
  if (how == Aggregation::kLast) return static_cast<double>(inside.back().last);
  double sum = 0;
  double count = 0;
  for (const Aggregate& point : inside) {
    sum += point.average() * point.count;
    count += point.count;
  }
  return sum / count;
}

}  // namespace

Result<Aggregation> aggregation_from(std::string_view text) {
  for (const auto& [name, how] : kNames) {
    if (name == text) return how;
  }
  return fail(Errc::kInvalid, "unknown aggregation \"" + std::string(text) + "\"", "query.aggregation",
              "one of last, avg, min, max, rate, increase");
}

std::string_view to_string(Aggregation how) {
  return std::ranges::find(kNames, how, &decltype(kNames)::value_type::second)->first;
}

std::unexpected<Error> too_many_points(std::size_t points, std::size_t most, std::string_view of) {
  return fail(Errc::kInvalid, fmt::format("{} points are too many for one answer", points), "query.step",
              fmt::format("at most {} points {}", most, of), "ask for a longer step, a shorter time, or fewer series");
}

std::vector<Step> steps_of(std::span<const Aggregate> points, std::uint32_t scale, std::int64_t from_ms,
                           std::int64_t to_ms, std::int64_t step_ms, Aggregation how) {
  std::vector<Step> steps;
  const auto in_unit = [scale](std::optional<double> value) {
    return value ? std::optional(*value / static_cast<double>(scale)) : std::nullopt;
  };
  const auto value_of = [&](const Aggregate* before, std::span<const Aggregate> inside) {
    return in_unit(is_difference(how) ? difference(before, inside, how) : level(inside, how));
  };
  auto next = std::ranges::find_if(points, [&](const Aggregate& point) { return point.time_ms > from_ms; });
  const auto before = [&]() -> const Aggregate* { return next == points.begin() ? nullptr : &*(next - 1); };
  if (step_ms <= 0) {
    for (; next != points.end() && next->time_ms <= to_ms; ++next) {
      if (auto value = value_of(before(), std::span(&*next, 1))) steps.emplace_back(next->time_ms, value);
    }
    return steps;
  }
  for (std::int64_t end = from_ms + step_ms; end - step_ms < to_ms; end += step_ms) {
    const auto first = next;
    const Aggregate* last_before = before();
    while (next != points.end() && next->time_ms <= std::min(end, to_ms)) ++next;
    steps.emplace_back(std::min(end, to_ms), value_of(last_before, std::span(first, next)));
  }
  return steps;
}

bool matches_pattern(std::string_view name, std::string_view pattern) {
  if (pattern.find_first_of("*?[") == std::string_view::npos) return name.find(pattern) != std::string_view::npos;
  return ::fnmatch(std::string(pattern).c_str(), std::string(name).c_str(), 0) == 0;
}

}  // namespace chaos
