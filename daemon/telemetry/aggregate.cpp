#include "telemetry/aggregate.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace chaos {
namespace {

constexpr std::uint64_t kMostExcess = std::numeric_limits<std::uint64_t>::max();

std::uint64_t distance(std::int64_t low, std::int64_t high) {
  return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
}

std::uint64_t sum_within(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? kMostExcess : sum;
}

std::uint64_t product_within(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMostExcess : product;
}

// Each column is preceded by how many bytes it has: seven bits a byte, the low ones first.
void put_size(std::vector<std::uint8_t>& bytes, std::size_t size) {
  for (; size >= 0x80; size >>= 7) bytes.push_back(static_cast<std::uint8_t>(size | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(size));
}

std::optional<std::span<const std::uint8_t>> take_column(std::span<const std::uint8_t>& bytes) {
  constexpr unsigned kLast = 28;
  std::size_t size = 0;
  for (unsigned shift = 0; shift <= kLast && !bytes.empty(); shift += 7) {
    const std::uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    size |= std::size_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) != 0) continue;
    if (size > bytes.size()) return std::nullopt;
    const auto column = bytes.first(size);
    bytes = bytes.subspan(size);
    return column;
  }
  return std::nullopt;
}

}  // namespace

void Aggregate::add(const Aggregate& later) {
  if (later.count == 0) return;
  if (count == 0) {
    *this = later;
    return;
  }
  const std::int64_t low = std::min(least, later.least);
  excess = sum_within(sum_within(excess, product_within(distance(low, least), count)),
                      sum_within(later.excess, product_within(distance(low, later.least), later.count)));
  least = low;
  most = std::max(most, later.most);
  grown += growth(last, later.first) + later.grown;
  last = later.last;
  count += later.count;
  time_ms = later.time_ms;
}

double Aggregate::average() const {
  if (count == 0) return 0;
  return static_cast<double>(least) + static_cast<double>(excess) / static_cast<double>(count);
}

void AggregatePacker::add(const Aggregate& aggregate) {
  ++steps_;
  if (aggregate.count == 0) {
    for (SeriesPacker& column : columns_) column.add(std::nullopt);
    return;
  }
  const bool counter = type_ == MetricType::kCounter;
  const std::uint64_t width = distance(aggregate.least, aggregate.most);
  const std::array<std::uint64_t, std::tuple_size_v<decltype(columns_)>> values{
      static_cast<std::uint64_t>(aggregate.least),
      width,
      distance(aggregate.least, aggregate.last),
      aggregate.excess,
      aggregate.count,
      counter ? distance(aggregate.least, aggregate.first) : 0,
      counter ? aggregate.grown - width : 0};
  for (std::size_t i = 0; i < values.size(); ++i) columns_[i].add(static_cast<std::int64_t>(values[i]));
}

std::vector<std::uint8_t> AggregatePacker::finish() const {
  std::vector<std::uint8_t> bytes;
  for (const SeriesPacker& column : columns_) {
    const auto part = column.finish();
    put_size(bytes, part.size());
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

std::size_t AggregatePacker::memory() const {
  std::size_t bytes = sizeof(*this);
  for (const SeriesPacker& column : columns_) bytes += column.memory();
  return bytes;
}

std::optional<std::vector<Aggregate>> unpack_aggregates(std::span<const std::uint8_t> bytes, MetricType type) {
  constexpr std::size_t kColumns = 7;
  std::array<std::vector<std::optional<std::uint64_t>>, kColumns> columns;
  for (auto& column : columns) {
    const auto part = take_column(bytes);
    const auto take = [&column](std::optional<std::int64_t> value) {
      column.push_back(value ? std::optional(static_cast<std::uint64_t>(*value)) : std::nullopt);
    };
    if (!part || !unpack_series(*part, take) || column.size() != columns[0].size()) return std::nullopt;
  }
  std::vector<Aggregate> steps(columns[0].size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto at = [&](std::size_t column) { return columns[column][i].value_or(0); };
    const auto least_plus = [&](std::size_t column) { return static_cast<std::int64_t>(at(0) + at(column)); };
    Aggregate& step = steps[i];
    step.least = static_cast<std::int64_t>(at(0));
    step.most = least_plus(1);
    step.last = least_plus(2);
    step.excess = at(3);
    step.count = static_cast<std::uint32_t>(at(4));
    step.first = type == MetricType::kCounter ? least_plus(5) : step.last;
    step.grown = type == MetricType::kCounter && step.count > 0 ? at(1) + at(6) : 0;
  }
  return steps;
}

nlohmann::json labels_of(const Registry::Series& series) {
  auto labels = nlohmann::json::object();
  for (std::size_t i = 0; i < series.labels.size(); ++i) {
    labels[std::string(series.metric->labels[i])] = series.labels[i];
  }
  return labels;
}

SeriesName name_of(const Registry::Series& series) {
  const MetricSpec& metric = *series.metric;
  return {std::string(metric.name), labels_of(series).dump(), metric.type, std::string(metric.unit), metric.scale};
}

std::optional<EndedStep> Downsampler::add(WallTime time, const Registry& registry) {
  const std::int64_t asked_ms = time.time_since_epoch().count();
  const bool set_back = asked_ms < last_ms_ - step_ms_;
  const std::int64_t now_ms = set_back ? asked_ms : std::max(asked_ms, last_ms_);
  std::optional<EndedStep> ended;
  if (end_ms_ != 0 && (now_ms > end_ms_ || set_back)) ended = take();
  if (end_ms_ == 0) {
    step_ms_ = wanted_ms_;
    if (step_ms_ <= 0) return ended;
    end_ms_ = (now_ms + step_ms_ - 1) / step_ms_ * step_ms_;
    first_ms_ = now_ms;
  }
  last_ms_ = now_ms;
  const auto& series = registry.series();
  if (places_.size() < series.size()) places_.resize(series.size());
  for (std::size_t i = 0; i < series.size(); ++i) {
    if (!registry.present(series[i])) continue;
    Place& place = places_[i];
    if (!place.name || place.since != series[i].since) {
      place = {std::make_shared<const SeriesName>(name_of(series[i])), series[i].since, {}};
    }
    place.aggregate.add(Aggregate::of(now_ms, series[i].value));
  }
  return ended;
}

std::optional<EndedStep> Downsampler::cut_short() {
  if (end_ms_ == 0) return std::nullopt;
  return take();
}

EndedStep Downsampler::take() {
  EndedStep step{step_ms_, end_ms_, first_ms_, last_ms_, {}};
  for (Place& place : places_) {
    if (place.aggregate.count > 0) step.entries.push_back({place.name, place.aggregate});
    place.aggregate = {};
  }
  end_ms_ = 0;
  return step;
}

}  // namespace chaos
