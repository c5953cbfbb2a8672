// metrics, history and the plot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/plot.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CtlMetrics : public FakeDaemonTest {};

TEST_F(CtlMetrics, PrintsNamesAsPrometheusDoes) {
  answer("GET /api/monitoring/metrics?pattern=cpu%2A",
         R"({"time":"2026-11-24T06:39:37.100Z","metrics":[{"name":"a_total","type":"counter","unit":"seconds",
             "help":"h","labels":{"cpu":"0","mode":"\u001b[2Juser"},"value":12.5,"time":"t"}]})");
  const Ran ran = run({"metrics", "cpu*"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("a_total{cpu=\"0\",mode=\""), HasSubstr("12.5"), HasSubstr("seconds"),
                             Not(HasSubstr("\x1b"))));
}

TEST_F(CtlMetrics, SaysWhenNothingMatches) {
  answer("GET /api/monitoring/metrics?pattern=x", R"({"time":"t","metrics":[]})");
  EXPECT_EQ(run({"metrics", "x"}).out, "No metric matches.\n");
  EXPECT_EQ(run({"metrics", "--watch", "--every", "1ms"}).exit, 2);
}

TEST_F(CtlMetrics, HistoryAsksForWhatItDraws) {
  const std::string path =
      "/api/monitoring/history?metric=a_total&since=5m&step=10s&aggregation=rate&labels=cpu%3D0%2Cmode%3Duser";
  answer("GET " + path, R"({"metric":"a_total","type":"counter","unit":"bytes","aggregation":"rate","step_ms":10000,
      "series":[{"labels":{"cpu":"0"},"points":[[1000,1.0],[11000,null],[21000,3.0]]}]})");
  const Ran ran = run({"history", "a_total", "--since", "5m", "--step", "10s", "--aggregation", "rate", "-l", "cpu=0",
                       "--label", "mode=user"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("a_total (rate, bytes per second)  cpu=0"), HasSubstr("00:00:01"),
                             HasSubstr("00:00:21"), HasSubstr("3 ┤")));
  EXPECT_EQ(run({"history", "a", "--since", "never"}).exit, 2);
}

TEST(Plot, ReachesFromTheLeastToTheMost) {
  std::vector<ctl::PlotPoint> points;
  for (int i = 0; i <= 7; ++i) points.emplace_back(i * 1000, i);
  // Eight samples in eight columns of dots, from the lowest of eight rows to the highest.
  const auto lines = ctl::plot(points, {.columns = 4, .rows = 2});
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "       7 ┤⠀⠀⣠⠞");
  EXPECT_EQ(lines[1], "       0 ┤⣠⠞⠁⠀");
}

/// The drawing alone, without scale and times: one row of Braille.
std::string drawn(const std::vector<ctl::PlotPoint>& points, std::size_t columns) {
  const std::string line = ctl::plot(points, {.columns = columns, .rows = 1}).front();
  return line.substr(line.find("┤") + std::string_view("┤").size());
}

TEST(Plot, SamplesThatAreFurtherApartThanStepsAreOneLine) {
  // A sample every five steps: nothing is missing.
  std::vector<ctl::PlotPoint> points;
  for (int i = 0; i <= 40; ++i) points.emplace_back(i * 1000, i % 5 == 0 ? std::optional(1.0) : std::nullopt);
  EXPECT_EQ(drawn(points, 10), "⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀");
  // Now two are.
  points[20].second.reset();
  points[25].second.reset();
  EXPECT_EQ(drawn(points, 10), "⣀⣀⣀⣀⠀⠀⠀⣀⣀⣀");
}

TEST(Plot, ABreakIsSeenWithOrWithoutEmptySteps) {
  std::vector<ctl::PlotPoint> with;
  std::vector<ctl::PlotPoint> without;
  for (int i = 0; i < 20; ++i) {
    const bool there = i < 6 || i >= 12;
    with.emplace_back(i * 1000, there ? std::optional(2.0) : std::nullopt);
    if (there) without.emplace_back(i * 1000, 2.0);
  }
  EXPECT_EQ(drawn(with, 10), "⣀⣀⣀⠀⠀⠀⣀⣀⣀⣀");
  EXPECT_EQ(drawn(without, 10), drawn(with, 10));
}

TEST(Plot, AStepThatMissedItsSampleIsBridged) {
  std::vector<ctl::PlotPoint> points;
  for (int i = 0; i < 20; ++i) points.emplace_back(i * 1000, i == 9 ? std::nullopt : std::optional(2.0));
  EXPECT_EQ(drawn(points, 10), "⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀");
}

TEST(Plot, OlderSamplesMayBeFurtherApart) {
  std::vector<ctl::PlotPoint> points;
  for (int i = 0; i < 10; ++i) points.emplace_back(i * 60'000, 2.0);
  for (int i = 1; i <= 60; ++i) points.emplace_back(540'000 + i * 5000, 2.0);
  EXPECT_EQ(drawn(points, 10), "⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀");
  // Two breaks with one sample between them, at the finer pace.
  std::erase_if(points, [](const auto& point) {
    return point.first > 600'000 && point.first < 800'000 && point.first != 700'000;
  });
  const std::string broken = drawn(points, 10);
  EXPECT_EQ(broken, "⣀⣀⣀⣀⣀⣀⣀⡀⡀⣀") << broken;
}

TEST(Plot, TooFewSamplesToTellWhatIsUsual) {
  EXPECT_EQ(drawn({{0, 1.0}, {1000, std::nullopt}, {2000, 1.0}}, 3), "⡀⠀⢀");
  EXPECT_EQ(drawn({{0, 1.0}, {2000, 1.0}}, 3), "⣀⣀⣀");
}

TEST(Plot, TimesOfMoreThanADayHaveADate) {
  const auto lines = ctl::plot({{0, 1.0}, {90'000'000, 2.0}}, {.columns = 40, .rows = 2});
  EXPECT_THAT(lines.back(), AllOf(HasSubstr("01-01 00:00"), HasSubstr("01-02 01:00")));
}

TEST(Plot, WithoutSamples) {
  EXPECT_EQ(ctl::plot({}, {}), std::vector<std::string>{"no samples"});
  EXPECT_EQ(ctl::plot({{1, std::nullopt}}, {}), std::vector<std::string>{"no samples"});
  EXPECT_EQ(ctl::plot({{1, 5.0}}, {.columns = 10, .rows = 3}).size(), 4U);
}

TEST(Plot, ShortNumbers) {
  EXPECT_EQ(ctl::short_number(0), "0");
  EXPECT_EQ(ctl::short_number(0.0125), "0.0125");
  EXPECT_EQ(ctl::short_number(1234567), "1.23M");
  EXPECT_EQ(ctl::short_number(-1500), "-1.5k");
}

}  // namespace
}  // namespace chaos::test
