// What is kept of many samples: aggregates, the steps that they belong to, and the answer that is made of them.
#include <gtest/gtest.h>

#include <random>

#include <nlohmann/json.hpp>

#include "telemetry/aggregate.h"
#include "telemetry/history_answer.h"

namespace chaos::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MetricSpec kLevel{"test_level", MetricType::kGauge, "bytes", 1, "A level.", {"name"}};
constexpr MetricSpec kCount{"test_count_total", MetricType::kCounter, "", 10, "A count.", {"name"}};
constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kStart = 1'800'000'000'000;  // a whole minute

WallTime at(std::int64_t ms) { return WallTime(milliseconds(ms)); }

Aggregate of(const std::vector<std::int64_t>& samples) {
  Aggregate sum;
  for (const std::int64_t sample : samples) sum.add(sample);
  return sum;
}

TEST(Aggregate, IsWhatItsSamplesAre) {
  const Aggregate sum = of({7, 3, 10, 4});
  EXPECT_EQ(sum.least, 3);
  EXPECT_EQ(sum.most, 10);
  EXPECT_EQ(sum.first, 7);
  EXPECT_EQ(sum.last, 4);
  EXPECT_EQ(sum.count, 4U);
  EXPECT_EQ(sum.average(), 6.0);
  EXPECT_EQ(sum.grown, 3U + 7U + 4U) << "a counter that went down has begun anew";
}

TEST(Aggregate, PartsMakeTheWhole) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> samples;
    Aggregate sum;
    for (int part = 0; part < 4; ++part) {
      std::vector<std::int64_t> some;
      for (std::size_t i = random() % 5; i > 0; --i) some.push_back(static_cast<std::int64_t>(random() % 2000) - 1000);
      samples.insert(samples.end(), some.begin(), some.end());
      sum.add(of(some));
    }
    ASSERT_EQ(sum, of(samples)) << "round " << round;
  }
}

TEST(Aggregate, ExtremesDoNotWrap) {
  const std::int64_t least = std::numeric_limits<std::int64_t>::min();
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const Aggregate sum = of({most, least, most, most});
  EXPECT_EQ(sum.least, least);
  EXPECT_EQ(sum.most, most);
  EXPECT_EQ(sum.excess, std::numeric_limits<std::uint64_t>::max()) << "at its bound, not around it";
}

TEST(Aggregate, PackingKeepsCountersWhole) {
  std::mt19937_64 random(2);
  for (const MetricType type : {MetricType::kCounter, MetricType::kGauge}) {
    AggregatePacker packer(type);
    std::vector<Aggregate> all;
    std::int64_t value = 1'000'000'000'000;
    for (int step = 0; step < 60; ++step) {
      Aggregate sum;
      if (step % 7 == 3) value = 0;  // begins anew
      for (std::size_t i = step % 9 == 8 ? 0 : 1 + random() % 20; i > 0; --i) {
        value += static_cast<std::int64_t>(random() % 1000);
        sum.add(value);
      }
      packer.add(sum);
      if (type == MetricType::kGauge && sum.count > 0) {
        sum.first = sum.last;
        sum.grown = 0;
      }
      all.push_back(sum);
    }
    const auto back = unpack_aggregates(packer.finish(), type);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, all);
  }
}

TEST(Aggregate, WhatIsEvenCostsNothing) {
  AggregatePacker packer(MetricType::kCounter);
  for (std::int64_t step = 0; step < 60; ++step) packer.add(of({step * 600, step * 600 + 10, step * 600 + 20}));
  EXPECT_LE(packer.finish().size(), 40U);
}

TEST(Aggregate, DamageIsTold) {
  AggregatePacker packer(MetricType::kGauge);
  packer.add(of({1, 2, 3}));
  const auto bytes = packer.finish();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(unpack_aggregates(std::span(bytes).first(size), MetricType::kGauge)) << size;
  }
}

TEST(Downsampler, StepsEndAtWholeMultiples) {
  Registry registry;
  Downsampler sampler;
  sampler.set_step(seconds(10));
  std::vector<EndedStep> steps;
  for (std::int64_t second = 4; second <= 31; ++second) {
    registry.begin_round();
    registry.set(kCount, {"a"}, second);
    if (second > 12) registry.set(kLevel, {"b"}, -second);
    if (auto step = sampler.add(at(second * 1000), registry)) steps.push_back(std::move(*step));
  }
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[0].end_ms, 10'000);
  EXPECT_EQ(steps[0].first_ms, 4000);
  EXPECT_EQ(steps[0].last_ms, 10'000) << "a sample at the end belongs to it";
  ASSERT_EQ(steps[0].entries.size(), 1U);
  EXPECT_EQ(steps[0].entries[0].aggregate.count, 7U);
  EXPECT_EQ(steps[2].end_ms, 30'000);
  ASSERT_EQ(steps[2].entries.size(), 2U);
  EXPECT_EQ(steps[2].entries[0].name, steps[0].entries[0].name) << "the same series, the same object";
  EXPECT_EQ(steps[2].entries[1].name->labels, R"({"name":"b"})");
  EXPECT_EQ(steps[2].entries[1].aggregate.least, -30);
  const auto rest = sampler.cut_short();
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->last_ms, 31'000);
  EXPECT_FALSE(sampler.cut_short());
}

TEST(Downsampler, APlaceThatIsUsedAnewIsAnotherSeries) {
  Registry registry;
  Downsampler sampler;
  sampler.set_step(seconds(1));
  registry.begin_round();
  registry.set(kLevel, {"old"}, 1);
  (void)sampler.add(at(1000), registry);
  registry.begin_round();
  registry.forget_before(registry.round());
  registry.set(kLevel, {"new"}, 2);
  const auto first = sampler.add(at(2000), registry);
  const auto second = sampler.cut_short();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->entries.at(0).name->labels, R"({"name":"old"})");
  EXPECT_EQ(second->entries.at(0).name->labels, R"({"name":"new"})");
}

TEST(Downsampler, AClockThatIsSetBackBeginsAStep) {
  Registry registry;
  Downsampler sampler;
  sampler.set_step(seconds(1));
  registry.begin_round();
  registry.set(kLevel, {"a"}, 1);
  (void)sampler.add(at(1'000'000), registry);
  const auto step = sampler.add(at(5000), registry);
  ASSERT_TRUE(step);
  EXPECT_EQ(step->end_ms, 1'000'000);
  EXPECT_EQ(sampler.cut_short()->end_ms, 5000);
}

TEST(HistoryAnswer, IsBounded) {
  HistoryQuery query{.metric = "m", .labels = {}, .since = std::chrono::hours(24), .step = seconds(1), .how = {}};
  EXPECT_FALSE(window_of(query, kStart, 0)) << "86400 points";
  const auto window = window_of(query, kStart, kMinute);
  ASSERT_TRUE(window);
  EXPECT_EQ(window->step_ms, kMinute);
  query.step = milliseconds(0);
  HistoryAnswer answer(query, *window_of(query, kStart, 0));
  const SeriesName name{"m", "{}", MetricType::kGauge, "", 1};
  std::vector<Aggregate> points;
  for (std::int64_t i = 0; i < 50'000; ++i) points.push_back(Aggregate::of(kStart - 50'000 + i, i));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(answer.add(name, points));
  const Status refused = answer.add(name, points);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().rule, "at most 200000 points an answer");
}

TEST(HistoryAnswer, IsJson) {
  HistoryQuery query{.metric = "m", .labels = {}, .since = seconds(3), .step = seconds(1), .how = {}};
  HistoryAnswer answer(query, *window_of(query, kStart, 0));
  const std::vector<Aggregate> points{Aggregate::of(kStart - 2500, 15), Aggregate::of(kStart - 500, -7)};
  ASSERT_TRUE(answer.add({"m", R"({"a":"x\"y"})", MetricType::kGauge, "bytes", 10}, points));
  const auto text = std::move(answer).finish("a \"reason\"");
  ASSERT_TRUE(text);
  const auto json = nlohmann::json::parse(*text);
  EXPECT_EQ(json.at("unit"), "bytes");
  EXPECT_EQ(json.at("problem"), "a \"reason\"");
  const auto& series = json.at("series").at(0);
  EXPECT_EQ(series.at("labels").at("a"), "x\"y");
  EXPECT_EQ(series.at("points"), nlohmann::json::parse(R"([[1799999998000,1.5],[1799999999000,null],
                                                           [1800000000000,-0.7]])"));
  HistoryAnswer none(query, *window_of(query, kStart, 0));
  EXPECT_EQ(std::move(none).finish("").error().code, Errc::kNotFound);
}

}  // namespace
}  // namespace chaos::test
