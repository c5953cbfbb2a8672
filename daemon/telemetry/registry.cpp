#include "telemetry/registry.h"

#include <algorithm>
#include <charconv>

namespace chaos {
namespace {

constexpr std::size_t kLongestLabel = 128;
constexpr char kSeparator = '\x1f';

/// How many bytes a character of UTF-8 (RFC 3629) takes at the start of `text`; 0 if there is none.
std::size_t character_size(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t size = first < 0x80   ? 1
                           : first < 0xc2 ? 0
                           : first < 0xe0 ? 2
                           : first < 0xf0 ? 3
                           : first < 0xf5 ? 4
                                          : 0;
  if (size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = size > 1 ? static_cast<unsigned char>(text[1]) : 0U;
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || beyond ? 0 : size;
}

std::string as_utf8(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    clean += size == 0 ? std::string_view("?") : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return clean;
}

/// By labels; buckets of a histogram by their bounds, which are numbers.
bool comes_before(const Registry::Series& left, const Registry::Series& right) {
  if (left.metric->histogram.empty() || left.labels.size() < 2) return left.labels < right.labels;
  const auto end = left.labels.size() - 1;
  const auto rest = std::lexicographical_compare_three_way(left.labels.begin(), left.labels.end() - 1,
                                                           right.labels.begin(), right.labels.end() - 1);
  if (rest != 0) return rest < 0;
  return std::strtod(left.labels[end].c_str(), nullptr) < std::strtod(right.labels[end].c_str(), nullptr);
}

}  // namespace

std::string scaled_text(std::int64_t value, std::uint32_t scale) {
  std::string text;
  append_scaled(text, value, scale);
  return text;
}

void append_scaled(std::string& text, std::int64_t value, std::uint32_t scale) {
  constexpr std::size_t kDigits = 20;
  std::array<char, kDigits> digits{};
  const std::uint64_t size = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  const std::uint64_t divisor = std::max<std::uint32_t>(scale, 1);
  if (value < 0) text += '-';
  text.append(digits.data(), std::to_chars(digits.begin(), digits.end(), size / divisor).ptr);
  std::uint64_t rest = size % divisor;
  if (rest == 0) return;
  text += '.';
  for (std::uint64_t place = divisor / 10; rest != 0; place /= 10) {
    text += static_cast<char>('0' + rest / place);
    rest %= place;
  }
}

std::string_view Registry::key_of(const MetricSpec& metric, const std::vector<std::string_view>& labels) {
  key_.assign(metric.name);
  for (const std::string_view label : labels) {
    key_ += kSeparator;
    key_ += label.substr(0, kLongestLabel);
  }
  return key_;
}

void Registry::set(const MetricSpec& metric, const std::vector<std::string_view>& labels, std::int64_t value,
                   WallTime as_of) {
  const std::string_view key = key_of(metric, labels);
  auto found = places_.find(key);
  if (found == places_.end()) {
    if (places_.size() >= kMostSeries) {
      ++refused_;
      return;
    }
    found = places_.emplace(key, 0).first;
    ++composition_;
    if (free_.empty()) {
      found->second = static_cast<Id>(series_.size());
      series_.emplace_back();
    } else {
      found->second = free_.back();
      free_.pop_back();
    }
    Series& series = series_[found->second];
    series.metric = &metric;
    series.since = round_;
    series.labels.clear();
    for (const std::string_view label : labels) series.labels.push_back(as_utf8(label.substr(0, kLongestLabel)));
  }
  Series& series = series_[found->second];
  series.value = value;
  series.as_of = as_of;
  series.seen = round_;
}

void Registry::forget_before(std::uint64_t round) {
  std::erase_if(places_, [&](const auto& place) {
    Series& series = series_[place.second];
    if (series.seen >= round) return false;
    series = {};
    free_.push_back(place.second);
    ++composition_;
    return true;
  });
}

std::map<std::string_view, std::vector<Registry::Id>> Registry::by_metric() const {
  std::map<std::string_view, std::vector<Id>> metrics;
  for (Id id = 0; id < series_.size(); ++id) {
    if (present(series_[id])) metrics[series_[id].metric->name].push_back(id);
  }
  for (auto& [name, ids] : metrics) {
    std::ranges::sort(ids, [&](Id left, Id right) { return comes_before(series_[left], series_[right]); });
  }
  return metrics;
}

}  // namespace chaos
