// Histograms as BPF programs count them: the buckets join without a gap, and quantiles are their bounds.
#include "kernel/log_linear.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "bpf/histogram.bpf.h"
#include "bpf/telemetry_abi.h"

namespace chaos::test {
namespace {

TEST(LogLinear, EveryNumberIsInTheBucketWhoseBoundsHoldIt) {
  for (unsigned power = 0; power < 40; ++power) {
    for (const std::int64_t beside : {-1, 0, 1, 3}) {
      const auto value = static_cast<std::uint64_t>((std::int64_t{1} << power) + beside);
      const std::uint32_t bucket = bucket_of(value);
      ASSERT_LT(bucket, CHAOS_LATENCY_BUCKETS);
      EXPECT_GE(value, bucket_begin(bucket)) << value;
      EXPECT_LE(value, bucket_end(bucket)) << value;
    }
  }
  EXPECT_EQ(bucket_of(0xffffffffU), CHAOS_RTT_BUCKETS - 1U);
  EXPECT_EQ(bucket_of((1ULL << 40) - 1), CHAOS_LATENCY_BUCKETS - 1U);
}

TEST(LogLinear, BucketsJoinAndAreAnEighthOfTheirValueWideAtMost) {
  for (std::size_t i = 1; i < CHAOS_LATENCY_BUCKETS; ++i) {
    EXPECT_EQ(bucket_begin(i), bucket_end(i - 1) + 1);
    const std::uint64_t width = bucket_end(i) - bucket_begin(i) + 1;
    EXPECT_LE(width * 8, std::max<std::uint64_t>(bucket_begin(i), 8)) << i;
  }
  // What /metrics has as bounds ends a bucket.
  for (unsigned power = 5; power <= 24; ++power) {
    EXPECT_EQ(bucket_end(bucket_of((1ULL << power) - 1)), (1ULL << power) - 1);
  }
}

TEST(LogLinear, Quantiles) {
  std::vector<BucketCount> buckets(CHAOS_RTT_BUCKETS);
  EXPECT_FALSE(quantile(buckets, 0.5));
  buckets[3] = 50;
  buckets[20] = 49;
  buckets[100] = 1;
  EXPECT_EQ(sample_count(buckets), 100U);
  EXPECT_EQ(quantile(buckets, 0), 3U);
  EXPECT_EQ(quantile(buckets, 0.5), 3U);
  EXPECT_EQ(quantile(buckets, 0.51), bucket_end(20));
  EXPECT_EQ(quantile(buckets, 0.99), bucket_end(20));
  EXPECT_EQ(quantile(buckets, 1), bucket_end(100));
}

}  // namespace
}  // namespace chaos::test
