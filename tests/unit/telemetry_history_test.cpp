// Series over time: packing, the bounded history, steps.
#include <gtest/gtest.h>

#include <random>

#include "telemetry/packed_series.h"
#include "telemetry/query.h"
#include "telemetry/series_history.h"

namespace chaos::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Values = std::vector<std::optional<std::int64_t>>;

Values through_the_packer(const Values& values) {
  SeriesPacker packer;
  for (const auto& value : values) packer.add(value);
  Values back;
  EXPECT_TRUE(unpack_series(packer.finish(), [&](auto value) { back.push_back(value); }));
  return back;
}

TEST(PackedSeries, KeepsEveryValue) {
  const std::int64_t least = std::numeric_limits<std::int64_t>::min();
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const std::vector<Values> all = {
      {},
      {std::nullopt},
      {0},
      {5, 5, 5, 5},
      {most, least, 0, most, most, least, least},
      {std::nullopt, 1, std::nullopt, std::nullopt, 2, 3, 4, 4, std::nullopt},
      {1, 2, 3, 4, 5, 4, 3, 2, 1, 0, -1, -1, -1},
  };
  for (const Values& values : all) EXPECT_EQ(through_the_packer(values), values);
}

TEST(PackedSeries, KeepsRandomSeries) {
  std::mt19937_64 random(7);
  for (int series = 0; series < 300; ++series) {
    Values values;
    std::int64_t at = 0;
    const unsigned width = series % 64;
    for (int i = 0; i < 300; ++i) {
      const std::uint64_t draw = random() >> (63 - width);
      if (random() % 10 == 0) {
        values.emplace_back(std::nullopt);
      } else {
        if (random() % 3 != 0) at = static_cast<std::int64_t>(static_cast<std::uint64_t>(at) + draw);
        values.emplace_back(at);
      }
    }
    ASSERT_EQ(through_the_packer(values), values) << "series " << series;
  }
}

TEST(PackedSeries, WhatIsEvenCostsNothing) {
  SeriesPacker packer;
  for (std::int64_t i = 0; i < 240; ++i) packer.add(1'000'000'000 + 17 * i);
  EXPECT_LE(packer.finish().size(), 10U);
}

TEST(PackedSeries, DamageIsTold) {
  const auto ignore = [](auto) {};
  EXPECT_FALSE(unpack_series(std::vector<std::uint8_t>{0x80}, ignore));
  EXPECT_FALSE(unpack_series(std::vector<std::uint8_t>(11, 0xff), ignore));
  EXPECT_FALSE(unpack_series(std::vector<std::uint8_t>{1}, ignore));
  EXPECT_FALSE(unpack_series(std::vector<std::uint8_t>{0xfe, 0xff, 0xff, 0xff, 0x7f}, ignore)) << "a run without end";
}

constexpr MetricSpec kLevel{"test_level", MetricType::kGauge, "", 1, "A level.", {"name"}};
constexpr MetricSpec kCount{"test_count_total", MetricType::kCounter, "", 10, "A count.", {"name"}};

WallTime at(std::int64_t ms) { return WallTime(milliseconds(ms)); }

TEST(SeriesHistory, FindsWhatWasThere) {
  Registry registry;
  SeriesHistory history({.span = seconds(1000), .bytes = 1 << 20, .rounds = 4});
  std::vector<Point> expected;
  for (std::int64_t i = 0; i < 11; ++i) {
    registry.begin_round();
    registry.set(kCount, {"always"}, i);
    if (i % 3 != 0) {
      registry.set(kLevel, {"sometimes"}, 100 + i);
      expected.push_back({1000 * i, 100 + i});
    }
    history.add(at(1000 * i), registry);
  }
  EXPECT_EQ(history.points(1, 0, 20'000), expected);
  EXPECT_EQ(history.points(0, 3000, 5000), (std::vector<Point>{{3000, 3}, {4000, 4}, {5000, 5}}));
  EXPECT_TRUE(history.points(2, 0, 20'000).empty()) << "no such place";
  EXPECT_EQ(history.rounds(), 11U);
}

// Issue 9, "Done when" 6: a day at 1 Hz, 1000 series, half of them noisy.
TEST(SeriesHistory, ADayStaysWithinItsBounds) {
  constexpr std::int64_t kDay = 86'400;
  constexpr std::size_t kSeries = 1000;
  Registry registry;
  SeriesHistory history(SeriesHistory::Limits{});
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kSeries; ++i) names.push_back(std::to_string(i));
  std::vector<std::int64_t> values(kSeries);
  std::minstd_rand random(3);
  std::size_t most = 0;
  constexpr std::int64_t kStepped = 6;  // every sixth round of the day, in six times the time each
  for (std::int64_t second = 0; second < kDay; second += kStepped) {
    registry.begin_round();
    for (std::size_t i = 0; i < kSeries; ++i) {
      values[i] += i % 2 == 0 ? 100 : static_cast<std::int64_t>(random() % 4000);
      registry.set(kCount, {names[i]}, values[i]);
    }
    history.add(at(second * 1000), registry);
    registry.forget_before(history.oldest_round());
    most = std::max(most, history.memory());
  }
  EXPECT_LE(most, 12U << 20);
  EXPECT_EQ(registry.size(), kSeries);
  EXPECT_GE(history.oldest_ms(), (kDay - 3600 - 2 * 240 * kStepped) * 1000);
  EXPECT_FALSE(history.points(0, (kDay - 3000) * 1000, kDay * 1000).empty());
}

TEST(SeriesHistory, AnHourOf1000SeriesAtFullResolutionFits) {
  constexpr std::size_t kSeries = 1000;
  Registry registry;
  SeriesHistory history(SeriesHistory::Limits{});
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kSeries; ++i) names.push_back(std::to_string(i));
  std::vector<std::int64_t> values(kSeries);
  std::minstd_rand random(5);
  for (std::int64_t second = 0; second < 3600; ++second) {
    registry.begin_round();
    for (std::size_t i = 0; i < kSeries; ++i) {
      values[i] += i % 2 == 0 ? 100 : static_cast<std::int64_t>(random() % 4000);
      registry.set(kCount, {names[i]}, values[i]);
    }
    history.add(at(second * 1000), registry);
  }
  EXPECT_EQ(history.rounds(), 3600U) << "nothing was dropped for its size";
  EXPECT_LE(history.memory(), 10U << 20);
  std::printf("history of 1 h of 1000 series: %zu KiB\n", history.memory() >> 10);
}

TEST(SeriesHistory, TheOldestGoFirstWhenBytesAreShort) {
  Registry registry;
  SeriesHistory history({.span = seconds(1'000'000), .bytes = 4096, .rounds = 8});
  std::mt19937_64 random(1);
  for (std::int64_t i = 0; i < 4000; ++i) {
    registry.begin_round();
    registry.set(kLevel, {"noise"}, static_cast<std::int64_t>(random()));
    history.add(at(1000 * i), registry);
    ASSERT_LE(history.memory(), 8192U);
  }
  EXPECT_GT(history.oldest_ms(), 3'800'000) << "a hundred rounds of noise at most";
}

TEST(SeriesHistory, APlaceIsUsedAnewOnlyWithoutHistory) {
  Registry registry;
  SeriesHistory history({.span = seconds(10), .bytes = 1 << 20, .rounds = 2});
  registry.begin_round();
  registry.set(kLevel, {"old"}, 1);
  history.add(at(0), registry);
  for (std::int64_t i = 1; i < 40; ++i) {
    registry.begin_round();
    registry.set(kCount, {"kept"}, i);
    history.add(at(1000 * i), registry);
    registry.forget_before(history.oldest_round());
    const bool there = registry.series()[0].metric != nullptr;
    EXPECT_EQ(there, history.oldest_ms() == 0) << i;
  }
  registry.begin_round();
  registry.set(kLevel, {"new"}, 2);
  history.add(at(40'000), registry);
  EXPECT_EQ(registry.series()[0].labels.front(), "new");
  EXPECT_EQ(history.points(0, 0, 100'000), (std::vector<Point>{{40'000, 2}}));
}

std::vector<Aggregate> samples(const std::vector<Point>& points) {
  std::vector<Aggregate> all;
  for (const Point& point : points) all.push_back(Aggregate::of(point.time_ms, point.value));
  return all;
}

TEST(Steps, RatesAreBetweenTheSamplesBefore) {
  const auto points = samples({{0, 0}, {1000, 10}, {2000, 30}, {3000, 30}, {4000, 5}, {5000, 6}});
  const auto rates = steps_of(points, 1, 0, 5000, 1000, Aggregation::kRate);
  ASSERT_EQ(rates.size(), 5U);
  EXPECT_EQ(rates[0], (Step{1000, 10.0}));
  EXPECT_EQ(rates[1], (Step{2000, 20.0}));
  EXPECT_EQ(rates[2], (Step{3000, 0.0}));
  EXPECT_EQ(rates[3], (Step{4000, 5.0})) << "a counter that went down has begun anew";
  EXPECT_EQ(steps_of(points, 1, 1000, 5000, 0, Aggregation::kIncrease).front(), (Step{2000, 20.0}));
  EXPECT_EQ(steps_of(points, 10, 0, 5000, 5000, Aggregation::kIncrease).front(), (Step{5000, 3.6}));
}

TEST(Steps, LevelsAndGaps) {
  const auto points = samples({{500, 4}, {900, 8}, {2500, 1}});
  const auto level = [&](Aggregation how) { return steps_of(points, 1, 0, 3000, 1000, how); };
  EXPECT_EQ(level(Aggregation::kLast), (std::vector<Step>{{1000, 8.0}, {2000, std::nullopt}, {3000, 1.0}}));
  EXPECT_EQ(level(Aggregation::kAverage)[0].second, 6.0);
  EXPECT_EQ(level(Aggregation::kLeast)[0].second, 4.0);
  EXPECT_EQ(level(Aggregation::kMost)[0].second, 8.0);
  EXPECT_TRUE(steps_of({}, 1, 0, 0, 1000, Aggregation::kLast).empty());
  EXPECT_FALSE(aggregation_from("median"));
}

TEST(Steps, Patterns) {
  EXPECT_TRUE(matches_pattern("chaosd_host_tcp_timeouts_total", "tcp"));
  EXPECT_TRUE(matches_pattern("chaosd_host_tcp_timeouts_total", "*tcp*total"));
  EXPECT_FALSE(matches_pattern("chaosd_host_tcp_timeouts_total", "tcp*"));
  EXPECT_TRUE(matches_pattern("x", ""));
}

}  // namespace
}  // namespace chaos::test
