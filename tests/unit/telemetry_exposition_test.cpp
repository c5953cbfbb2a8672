// What Prometheus gets, and the registry behind it.
#include "telemetry/exposition.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "telemetry/metric_list.h"

namespace chaos::test {
namespace {

constexpr MetricSpec kCpu{"test_cpu_seconds_total",      MetricType::kCounter, "seconds", 100,
                          "CPU \"time\".\nTwo lines\\.", {"cpu", "mode"}};
constexpr MetricSpec kLevel{"test_level_bytes", MetricType::kGauge, "bytes", 1, "A level.", {}};

TEST(Exposition, ScaledNumbersAreExact) {
  EXPECT_EQ(scaled_text(1234, 100), "12.34");
  EXPECT_EQ(scaled_text(1200, 100), "12");
  EXPECT_EQ(scaled_text(1205, 1000), "1.205");
  EXPECT_EQ(scaled_text(5, 1'000'000), "0.000005");
  EXPECT_EQ(scaled_text(-50, 100), "-0.5");
  EXPECT_EQ(scaled_text(std::numeric_limits<std::int64_t>::min(), 1), "-9223372036854775808");
  EXPECT_EQ(scaled_text(std::numeric_limits<std::int64_t>::min(), 10), "-922337203685477580.8");
}

Registry filled() {
  Registry registry;
  registry.begin_round();
  registry.set(kCpu, {"1", "user"}, 250);
  registry.set(kCpu, {"0", "a\"b\\c\nd"}, 1);
  registry.set(kLevel, 7);
  return registry;
}

TEST(Exposition, Text) {
  EXPECT_EQ(expose(filled(), ExpositionFormat::kText),
            "# HELP test_cpu_seconds_total CPU \"time\".\\nTwo lines\\\\.\n"
            "# TYPE test_cpu_seconds_total counter\n"
            "test_cpu_seconds_total{cpu=\"0\",mode=\"a\\\"b\\\\c\\nd\"} 0.01\n"
            "test_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 2.5\n"
            "# HELP test_level_bytes A level.\n"
            "# TYPE test_level_bytes gauge\n"
            "test_level_bytes 7\n");
}

TEST(Exposition, OpenMetrics) {
  EXPECT_EQ(expose(filled(), ExpositionFormat::kOpenMetrics),
            "# HELP test_cpu_seconds CPU \\\"time\\\".\\nTwo lines\\\\.\n"
            "# TYPE test_cpu_seconds counter\n"
            "# UNIT test_cpu_seconds seconds\n"
            "test_cpu_seconds_total{cpu=\"0\",mode=\"a\\\"b\\\\c\\nd\"} 0.01\n"
            "test_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 2.5\n"
            "# HELP test_level_bytes A level.\n"
            "# TYPE test_level_bytes gauge\n"
            "# UNIT test_level_bytes bytes\n"
            "test_level_bytes 7\n"
            "# EOF\n");
}

TEST(Exposition, IsNegotiated) {
  using enum ExpositionFormat;
  EXPECT_EQ(negotiate(""), kText);
  EXPECT_EQ(negotiate("*/*"), kText);
  EXPECT_EQ(negotiate("text/html"), kText);
  EXPECT_EQ(negotiate("application/openmetrics-text"), kOpenMetrics);
  // Prometheus 2.42, as Debian 12 has it.
  EXPECT_EQ(negotiate("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            kOpenMetrics);
  EXPECT_EQ(negotiate("text/plain, application/openmetrics-text;q=0.9"), kText);
  EXPECT_EQ(negotiate("application/openmetrics-text; version=1.0.0; q=0"), kText);
}

TEST(Registry, WhatARoundDoesNotSetIsAbsent) {
  Registry registry = filled();
  registry.begin_round();
  registry.set(kLevel, 8);
  EXPECT_EQ(expose(registry, ExpositionFormat::kText),
            "# HELP test_level_bytes A level.\n# TYPE test_level_bytes gauge\ntest_level_bytes 8\n");
}

TEST(Registry, IsBounded) {
  Registry registry;
  for (int round = 0; round < 2; ++round) {
    registry.begin_round();
    for (std::size_t i = 0; i < Registry::kMostSeries + 10; ++i) registry.set(kCpu, {std::to_string(i), "x"}, 1);
  }
  EXPECT_EQ(registry.size(), Registry::kMostSeries);
  EXPECT_EQ(registry.refused(), 20U);
}

constexpr MetricSpec kBucket{"test_wait_seconds_bucket", MetricType::kCounter, "", 1, "A wait.", {"scope", "le"},
                             "test_wait_seconds"};
constexpr MetricSpec kCount{"test_wait_seconds_count", MetricType::kCounter, "", 1, "A wait.", {"scope"},
                            "test_wait_seconds"};
constexpr MetricSpec kSum{"test_wait_seconds_sum", MetricType::kCounter, "seconds", 1000, "A wait.", {"scope"},
                          "test_wait_seconds"};

TEST(Exposition, AHistogramHasOneHeadAndItsBucketsAscend) {
  Registry registry;
  registry.begin_round();
  for (const char* bound : {"+Inf", "16", "2", "0.5"}) registry.set(kBucket, {"b", bound}, 1);
  registry.set(kBucket, {"a", "+Inf"}, 3);
  registry.set(kSum, {"a"}, 1500);
  registry.set(kCount, {"a"}, 3);
  const std::string series =
      "test_wait_seconds_bucket{scope=\"a\",le=\"+Inf\"} 3\n"
      "test_wait_seconds_bucket{scope=\"b\",le=\"0.5\"} 1\n"
      "test_wait_seconds_bucket{scope=\"b\",le=\"2\"} 1\n"
      "test_wait_seconds_bucket{scope=\"b\",le=\"16\"} 1\n"
      "test_wait_seconds_bucket{scope=\"b\",le=\"+Inf\"} 1\n"
      "test_wait_seconds_count{scope=\"a\"} 3\n"
      "test_wait_seconds_sum{scope=\"a\"} 1.5\n";
  EXPECT_EQ(expose(registry, ExpositionFormat::kText),
            "# HELP test_wait_seconds A wait.\n# TYPE test_wait_seconds histogram\n" + series);
  EXPECT_EQ(expose(registry, ExpositionFormat::kOpenMetrics),
            "# HELP test_wait_seconds A wait.\n# TYPE test_wait_seconds histogram\n# UNIT test_wait_seconds seconds\n" +
                series + "# EOF\n");
}

TEST(Registry, LabelsAreShortAndUtf8) {
  Registry registry;
  registry.begin_round();
  registry.set(kCpu, {std::string(1000, 'x'), "\xc3\xbc\xff\xc3"}, 1);
  EXPECT_EQ(registry.series()[0].labels[0], std::string(128, 'x'));
  EXPECT_EQ(registry.series()[0].labels[1], "\xc3\xbc??");
}

TEST(MetricList, EachSeriesHasTheTimeOfItsMeasurement) {
  Registry registry;
  registry.begin_round();
  const WallTime now{std::chrono::milliseconds(1'700'000'005'250)};
  registry.set(kLevel, {}, 7, now - std::chrono::milliseconds(4250));
  registry.set(kCpu, {"0", "user"}, 250);
  const auto list = nlohmann::json::parse(metric_list(registry, now, ""));
  EXPECT_EQ(list.at("time"), "2023-11-14T22:13:25.250Z");
  ASSERT_EQ(list.at("metrics").size(), 2U);
  EXPECT_EQ(list.at("metrics").at(0), (nlohmann::json{{"name", "test_cpu_seconds_total"},
                                                      {"type", "counter"},
                                                      {"unit", "seconds"},
                                                      {"help", kCpu.help},
                                                      {"labels", {{"cpu", "0"}, {"mode", "user"}}},
                                                      {"value", 2.5},
                                                      {"time", "2023-11-14T22:13:25.250Z"}}));
  EXPECT_EQ(list.at("metrics").at(1).at("time"), "2023-11-14T22:13:21.000Z");
  // Measured anew in this round.
  registry.set(kLevel, 8);
  EXPECT_EQ(nlohmann::json::parse(metric_list(registry, now, "level")).at("metrics").at(0).at("time"), list.at("time"));
  EXPECT_TRUE(nlohmann::json::parse(metric_list(registry, now, "nothing")).at("metrics").empty());
}

}  // namespace
}  // namespace chaos::test
