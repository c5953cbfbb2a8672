// Histogram: durations by their size, in buckets of 3 % width from 1 ns to 2^42 ns. Adding: any thread, one atomic;
// reading: any thread, of what has been added by then.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace chaos {

class Histogram {
 public:
  /// A negative one counts as 0.
  void add(std::chrono::nanoseconds value) {
    buckets_[bucket_of(value.count() < 0 ? 0 : static_cast<std::uint64_t>(value.count()))].fetch_add(
        1, std::memory_order_relaxed);
  }
  /// So many at once, of one bucket: where somebody else has counted in the same buckets.
  void add_to(std::size_t bucket, std::uint64_t times) { buckets_[bucket].fetch_add(times, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t sum = 0;
    for (const auto& bucket : buckets_) sum += bucket.load(std::memory_order_relaxed);
    return sum;
  }
  /// The upper end of the bucket that this share (0 to 1) of all reaches; 0 if there are none.
  [[nodiscard]] std::chrono::nanoseconds quantile(double share) const {
    const std::uint64_t all = count();
    if (all == 0) return std::chrono::nanoseconds(0);
    const double wanted = share * static_cast<double>(all);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      sum += buckets_[i].load(std::memory_order_relaxed);
      if (sum > 0 && static_cast<double>(sum) >= wanted) return std::chrono::nanoseconds(upper_end(i));
    }
    return std::chrono::nanoseconds(upper_end(kBuckets - 1));
  }

  static constexpr unsigned kFineBits = 5;  ///< each power of two in 32
  static constexpr std::size_t kFine = 1U << kFineBits;
  static constexpr std::size_t kBuckets = (42 - kFineBits + 1) * kFine;
  static std::size_t bucket_of(std::uint64_t value) {
    if (value < kFine) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kFineBits - 1;
    const std::size_t bucket = (static_cast<std::size_t>(shift) << kFineBits) + (value >> shift);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }

 private:
  static std::int64_t upper_end(std::size_t bucket) {
    if (bucket < 2 * kFine) return static_cast<std::int64_t>(bucket);
    const auto shift = static_cast<unsigned>(bucket / kFine) - 1;
    return static_cast<std::int64_t>(((bucket % kFine + kFine + 1) << shift) - 1);
  }
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
};

}  // namespace chaos
