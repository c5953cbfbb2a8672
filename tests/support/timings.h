// Timings: what a timing test measured, printed and recorded; and how large such a test is to be.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace chaos::test {

/// CHAOS_TEST_FULL=1: counts, durations and bounds as the issues name them, instead of those that fit CI.
[[nodiscard]] inline bool full_size() {
  const char* value = std::getenv("CHAOS_TEST_FULL");
  return value != nullptr && std::string_view(value) == "1";
}

template <class T>
[[nodiscard]] T by_size(T in_ci, T in_full) {
  return full_size() ? in_full : in_ci;
}

class Timings {
 public:
  using Milliseconds = std::chrono::duration<double, std::milli>;

  void add(Milliseconds value) { values_.push_back(value.count()); }
  [[nodiscard]] std::size_t count() const { return values_.size(); }
  /// Nearest rank: with less than 100 values the 99th percentile is the largest.
  [[nodiscard]] double percentile(double percent) const {
    if (values_.empty()) return NAN;
    std::vector<double> sorted = values_;
    std::ranges::sort(sorted);
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
  }
  [[nodiscard]] double max() const { return percentile(100); }

  /// How many took at most 1, 2, 5, 10, ... ms; to stdout.
  void print_histogram() const {
    std::printf("[ HISTOGRAM ]");
    double above = -1;
    for (const double limit : {1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 1e9}) {
      const auto count = std::ranges::count_if(values_, [&](double value) { return value > above && value <= limit; });
      if (count > 0) std::printf("  <= %g ms: %td", limit, count);
      above = limit;
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  /// To stdout and into the test's record.
  void report(const std::string& name) const {
    std::printf("[ MEASURED ] %s, ms: p50 %.3f  p99 %.3f  max %.3f  (n = %zu)\n", name.c_str(), percentile(50),
                percentile(99), max(), count());
    std::fflush(stdout);
    std::string key = name;
    std::ranges::replace_if(
        key, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    testing::Test::RecordProperty(key + "_p50_ms", std::to_string(percentile(50)));
    testing::Test::RecordProperty(key + "_p99_ms", std::to_string(percentile(99)));
    testing::Test::RecordProperty(key + "_max_ms", std::to_string(max()));
  }

 private:
  std::vector<double> values_;
};

/// One figure that is no time.
inline void report_figure(const std::string& name, double value, std::string_view unit) {
  std::printf("[ MEASURED ] %s: %.3f %.*s\n", name.c_str(), value, static_cast<int>(unit.size()), unit.data());
  std::fflush(stdout);
  std::string key = name + "_" + std::string(unit);
  std::ranges::replace_if(
      key, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  testing::Test::RecordProperty(key, std::to_string(value));
}

}  // namespace chaos::test
