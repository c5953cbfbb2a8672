#include "line/shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace chaos {
namespace {

using std::chrono::nanoseconds;

double standard_normal(std::uint64_t hash) {
  // Box and Muller, 1958; 1 - u is never 0.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit_of(hash)));
  return radius * std::cos(2.0 * std::numbers::pi * unit_of(next_hash(hash)));
}

/// Shape 3, the one of netem's table, shifted and scaled to mean 0 and deviation 1.
constexpr double kParetoShape = 3.0;
constexpr double kParetoMean = 1.5;
const double kParetoDeviation = std::sqrt(0.75);

double standard_pareto(std::uint64_t hash) {
  return (std::pow(1.0 - unit_of(hash), -1.0 / kParetoShape) - kParetoMean) / kParetoDeviation;
}

/// A quarter normal, three quarters pareto, as in netem's table; scaled to deviation 1.
double standard_pareto_normal(std::uint64_t hash) {
  const double mixed = 0.25 * standard_normal(hash) + 0.75 * standard_pareto(next_hash(hash + 1));
  return mixed / std::hypot(0.25, 0.75);
}

double table_value(const std::vector<nanoseconds>& table, double quantile) {
  const double at = quantile * static_cast<double>(table.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(at), table.size() - 2);
  const auto low = static_cast<double>(table[below].count());
  const auto high = static_cast<double>(table[below + 1].count());
  return low + (high - low) * (at - static_cast<double>(below));
}

double deviation(const DelayShape& shape, std::uint64_t hash) {
  const auto jitter = static_cast<double>(shape.jitter.count());
  switch (shape.distribution) {
    case Distribution::kUniform:
      return jitter == 0 ? 0 : jitter * (2.0 * unit_of(hash) - 1.0);
    case Distribution::kNormal:
      return jitter * standard_normal(hash);
    case Distribution::kPareto:
      return jitter * standard_pareto(hash);
    case Distribution::kParetoNormal:
      return jitter * standard_pareto_normal(hash);
    case Distribution::kEmpirical:
      return table_value(shape.table, unit_of(hash));
  }
  return 0;
}

/// In [0, 1]: how far a ramp has come.
double ramp_progress(const DelayShape& shape, nanoseconds since_start) {
  if (shape.ramp_over.count() == 0) return 1;
  return std::clamp(static_cast<double>(since_start.count()) / static_cast<double>(shape.ramp_over.count()), 0.0, 1.0);
}

bool between_pulses(const DelayShape& shape, nanoseconds since_start) {
  if (shape.pulse_off.count() == 0) return false;
  return since_start % (shape.pulse_on + shape.pulse_off) >= shape.pulse_on;
}

}  // namespace

double unit_of(std::uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

std::uint64_t next_hash(std::uint64_t hash) {
  hash += 0x9e3779b97f4a7c15ULL;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

nanoseconds requested_delay(const DelayShape& shape, std::uint64_t hash, nanoseconds since_start) {
  if (between_pulses(shape, since_start)) return nanoseconds(0);
  const auto from = static_cast<double>(shape.ramp_over.count() == 0 ? shape.delay.count() : shape.ramp_from.count());
  const double base = from + (static_cast<double>(shape.delay.count()) - from) * ramp_progress(shape, since_start);
  return nanoseconds(static_cast<std::int64_t>(std::max(0.0, base + deviation(shape, hash))));
}

nanoseconds least_delay(const DelayShape& shape) {
  const nanoseconds base = shape.ramp_over.count() == 0 ? shape.delay : std::min(shape.delay, shape.ramp_from);
  switch (shape.distribution) {
    case Distribution::kUniform:
      return base - shape.jitter;
    case Distribution::kNormal:
    case Distribution::kParetoNormal:
      // Three deviations: one packet in a thousand is beyond.
      return base - 3 * shape.jitter;
    case Distribution::kPareto:
      return base - nanoseconds(static_cast<std::int64_t>(static_cast<double>(shape.jitter.count()) *
                                                          (kParetoMean - 1.0) / kParetoDeviation));
    case Distribution::kEmpirical:
      return base + shape.table.front();
  }
  return base;
}

std::optional<nanoseconds> RateQueue::depart(const RateShape& shape, nanoseconds now, std::uint64_t bytes) {
  const double ns_per_byte = 8e9 / static_cast<double>(shape.bits_per_second);
  const auto here = static_cast<double>(now.count());
  const double credit = static_cast<double>(shape.burst_bytes) * ns_per_byte;
  const double finish = std::max(free_at_ns_, here - credit) + static_cast<double>(bytes) * ns_per_byte;
  if (free_at_ns_ - here > static_cast<double>(shape.queue_bytes) * ns_per_byte) return std::nullopt;
  free_at_ns_ = finish;
  return nanoseconds(static_cast<std::int64_t>(std::max(here, finish)));
}

}  // namespace chaos
