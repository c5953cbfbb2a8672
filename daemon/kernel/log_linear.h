// Log-linear histograms as BPF programs count them (bpf/histogram.bpf.h): what the buckets stand for, and quantiles.
// Pure functions; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace chaos {

using BucketCount = unsigned long long;  // __u64 of the ABI

/// The largest value that bucket `index` holds; 8 buckets for each power of two.
[[nodiscard]] constexpr std::uint64_t bucket_end(std::size_t index) {
  constexpr std::size_t kExact = 8;
  if (index < kExact) return index;
  const std::size_t shift = index / kExact - 1;
  return ((kExact + index % kExact + 1) << shift) - 1;
}

/// The smallest one.
[[nodiscard]] constexpr std::uint64_t bucket_begin(std::size_t index) {
  return index == 0 ? 0 : bucket_end(index - 1) + 1;
}

[[nodiscard]] inline std::uint64_t sample_count(std::span<const BucketCount> buckets) {
  std::uint64_t count = 0;
  for (const BucketCount bucket : buckets) count += bucket;
  return count;
}

/// The end of the bucket that holds the value below or at which `share` of the samples lie; empty without samples.
[[nodiscard]] inline std::optional<std::uint64_t> quantile(std::span<const BucketCount> buckets, double share) {
  const std::uint64_t count = sample_count(buckets);
  if (count == 0) return {};
  const auto wanted =
      std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count))), 1, count);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    below += buckets[i];
    if (below >= wanted) return bucket_end(i);
  }
  return {};
}

}  // namespace chaos
