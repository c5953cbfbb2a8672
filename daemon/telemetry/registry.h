// Registry: the series that chaosd shows, with their newest values. Bounded: what does not fit is counted, not kept.
// Owned by the sampler; its thread alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"

namespace chaos {

enum class MetricType : std::uint8_t { kCounter, kGauge };

/// One metric: what all its series have in common. Constant data of a collector; its address is its identity.
struct MetricSpec {
  std::string_view name;  ///< with the prefix and, of a counter, "_total"
  MetricType type = MetricType::kGauge;
  std::string_view unit{};  ///< a base unit ("seconds", "bytes"), as the name has it; empty: a plain number
  std::uint32_t scale = 1;  ///< a power of ten: values are whole numbers of 1/scale of the unit, and so exact
  std::string_view help{};
  std::array<std::string_view, 4> labels{};  ///< names, in the order of the values; empty from the end on
  /// Of a part of a histogram, which is a counter (NAME_bucket with the label "le" last, NAME_count, NAME_sum): NAME.
  std::string_view histogram{};
};

/// Text of `value` / `scale`, exact, without an exponent: (1234, 100) is "12.34".
[[nodiscard]] std::string scaled_text(std::int64_t value, std::uint32_t scale);
void append_scaled(std::string& text, std::int64_t value, std::uint32_t scale);

class Registry {
 public:
  static constexpr std::size_t kMostSeries = 8192;

  struct Series {
    const MetricSpec* metric = nullptr;  ///< null: a place that is free
    std::vector<std::string> labels;     ///< values
    std::int64_t value = 0;
    WallTime as_of{};         ///< when that was so; 0: in the round that set it
    std::uint64_t seen = 0;   ///< the last round that set it
    std::uint64_t since = 0;  ///< the round in which it took its place
  };
  using Id = std::uint32_t;

  /// A round of sampling begins: what it does not set is absent.
  void begin_round() { ++round_; }
  /// `labels`: as many as the metric has. Longer values than 128 bytes are cut off, and
  /// bytes that are no UTF-8 become '?'. `as_of`: when it was measured, if not in this round.
  void set(const MetricSpec& metric, const std::vector<std::string_view>& labels, std::int64_t value,
           WallTime as_of = {});
  void set(const MetricSpec& metric, std::int64_t value) { set(metric, {}, value); }
  /// Lets go of what no round has set since `round`; their places are used anew.
  void forget_before(std::uint64_t round);

  [[nodiscard]] std::uint64_t round() const { return round_; }
  /// Another one whenever places are taken or let go of.
  [[nodiscard]] std::uint64_t composition() const { return composition_; }
  [[nodiscard]] bool present(const Series& series) const { return series.metric != nullptr && series.seen == round_; }
  /// By place, which is the series' id while it is there.
  [[nodiscard]] const std::vector<Series>& series() const { return series_; }
  /// Places of each metric's series, by the metric's name.
  [[nodiscard]] std::map<std::string_view, std::vector<Id>> by_metric() const;
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  /// Series that did not fit, counted once a round.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  [[nodiscard]] std::string_view key_of(const MetricSpec& metric, const std::vector<std::string_view>& labels);

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, Id, Hash, std::equal_to<>> places_;
  std::string key_;  ///< of the last look-up; kept, so that a round allocates nothing
  std::vector<Series> series_;
  std::vector<Id> free_;
  std::uint64_t round_ = 0;
  std::uint64_t composition_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace chaos
