// Shapes: that delays are spread as their distribution says, by a Kolmogorov-Smirnov distance to its function, and that
// a rate is kept to the byte.
#include "line/shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/distributions.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int kSamples = 100'000;

std::vector<double> samples_ms(const DelayShape& shape, std::uint64_t seed = 7) {
  std::vector<double> values;
  std::uint64_t hash = seed;
  for (int i = 0; i < kSamples; ++i) {
    hash = next_hash(hash);
    values.push_back(static_cast<double>(requested_delay(shape, hash, nanoseconds(0)).count()) / 1e6);
  }
  std::ranges::sort(values);
  return values;
}

// The 1 % point of the distance at this size is 0.005.
constexpr double kClose = 0.006;

DelayShape around_50_by_10(Distribution distribution) {
  return {.delay = milliseconds(50), .jitter = milliseconds(10), .distribution = distribution, .table = {}};
}

TEST(Shapes, Uniform) {
  const auto values = samples_ms(around_50_by_10(Distribution::kUniform));
  EXPECT_GE(values.front(), 40.0);
  EXPECT_LE(values.back(), 60.0);
  EXPECT_LT(test::distance(values, test::uniform_around(50, 10)), kClose);
}

TEST(Shapes, Normal) {
  const auto values = samples_ms(around_50_by_10(Distribution::kNormal));
  EXPECT_LT(test::distance(values, test::normal_around(50, 10)), kClose);
}

TEST(Shapes, Pareto) {
  // Of shape 3, with mean 50 and deviation 10.
  const auto values = samples_ms(around_50_by_10(Distribution::kPareto));
  EXPECT_LT(test::distance(values, test::pareto_around(50, 10)), kClose);
}

TEST(Shapes, ParetoNormalHasTheMeanAndDeviationThatAreAskedFor) {
  const auto values = samples_ms(around_50_by_10(Distribution::kParetoNormal));
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / kSamples;
  EXPECT_NEAR(mean, 50.0, 0.2);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  // The fourth moment of a Pareto of shape 3 is infinite: its deviation converges slowly.
  EXPECT_NEAR(std::sqrt(squares / kSamples), 10.0, 1.5);
  // Skewed to the right, as neither half alone would be so little.
  EXPECT_LT(values[kSamples / 2], mean);
}

TEST(Shapes, EmpiricalFollowsItsTable) {
  DelayShape shape{.delay = milliseconds(10), .distribution = Distribution::kEmpirical, .table = {}};
  shape.table = {milliseconds(0), milliseconds(10), milliseconds(100)};
  const auto values = samples_ms(shape);
  EXPECT_LT(test::distance(values, test::through({10, 20, 110})), kClose);
}

TEST(Shapes, TheSameHashGivesTheSameDelayAndAnotherSeedAnother) {
  const DelayShape shape = around_50_by_10(Distribution::kNormal);
  EXPECT_EQ(samples_ms(shape, 1), samples_ms(shape, 1));
  EXPECT_NE(samples_ms(shape, 1), samples_ms(shape, 2));
}

TEST(Shapes, RampsAndPulses) {
  DelayShape ramp{.delay = milliseconds(100), .table = {}};
  ramp.ramp_from = milliseconds(20);
  ramp.ramp_over = seconds(10);
  EXPECT_EQ(requested_delay(ramp, 0, seconds(0)), milliseconds(20));
  EXPECT_EQ(requested_delay(ramp, 0, seconds(5)), milliseconds(60));
  EXPECT_EQ(requested_delay(ramp, 0, seconds(10)), milliseconds(100));
  EXPECT_EQ(requested_delay(ramp, 0, seconds(1000)), milliseconds(100));
  DelayShape pulse{.delay = milliseconds(100), .table = {}};
  pulse.pulse_on = seconds(2);
  pulse.pulse_off = seconds(8);
  EXPECT_EQ(requested_delay(pulse, 0, milliseconds(1999)), milliseconds(100));
  EXPECT_EQ(requested_delay(pulse, 0, milliseconds(2000)), milliseconds(0));
  EXPECT_EQ(requested_delay(pulse, 0, milliseconds(11'000)), milliseconds(100));
}

TEST(Shapes, TheLeastDelaySaysWhatWouldBeCutOff) {
  EXPECT_EQ(least_delay(around_50_by_10(Distribution::kUniform)), milliseconds(40));
  EXPECT_EQ(least_delay(around_50_by_10(Distribution::kNormal)), milliseconds(20));
  for (const auto distribution : {Distribution::kUniform, Distribution::kPareto}) {
    const auto values = samples_ms(around_50_by_10(distribution));
    const auto least = static_cast<double>(least_delay(around_50_by_10(distribution)).count()) / 1e6;
    EXPECT_GE(values.front(), least - 1e-3);
    EXPECT_LT(values.front(), least + 0.1);
  }
}

TEST(RateQueue, LetsThroughWhatItsRateAllows) {
  const RateShape shape{.bits_per_second = 8'000'000, .burst_bytes = 4000, .queue_bytes = 1'000'000};
  RateQueue queue;
  // A byte takes a microsecond; the burst goes at once.
  const nanoseconds start = seconds(5);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(queue.depart(shape, start, 1000), start);
  EXPECT_EQ(queue.depart(shape, start, 1000), start + milliseconds(1));
  EXPECT_EQ(queue.depart(shape, start, 500), start + std::chrono::microseconds(1500));
  // After a rest no more than the burst has been saved up.
  const nanoseconds later = start + seconds(60);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(queue.depart(shape, later, 1000), later);
  EXPECT_EQ(queue.depart(shape, later, 1000), later + milliseconds(1));
}

TEST(RateQueue, DropsWhatDoesNotFitInItsQueueAndNothingElse) {
  const RateShape shape{.bits_per_second = 8'000'000, .burst_bytes = 0, .queue_bytes = 10'000};
  RateQueue queue;
  int through = 0;
  nanoseconds last{};
  for (int i = 0; i < 100; ++i) {
    const auto left = queue.depart(shape, seconds(1), 1000);
    if (!left) continue;
    ++through;
    last = *left;
  }
  EXPECT_EQ(through, 11);  // one on the link, ten behind it
  EXPECT_EQ(last, seconds(1) + milliseconds(11));
  EXPECT_TRUE(queue.depart(shape, seconds(1) + milliseconds(2), 1000));
}

}  // namespace
}  // namespace chaos
