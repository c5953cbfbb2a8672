// Quantities with units as users write them ("50ms", "10%", "100mbit", "64MiB"), and their canonical form.
// Pure functions and value types; any thread.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

/// A probability in [0, 1], held exactly as written down to 1e-9 (parts per billion).
class Probability {
 public:
  constexpr Probability() = default;
  /// `parts_per_billion` is clamped to 1e9.
  static constexpr Probability from_ppb(std::uint64_t parts_per_billion) {
    Probability p;
    p.ppb_ = parts_per_billion > kOne ? kOne : parts_per_billion;
    return p;
  }
  /// Accepts "10%", "0.1%", "0.1" (a plain number is a fraction of 1). Error: kInvalid.
  static Result<Probability> parse(std::string_view text);
  [[nodiscard]] constexpr std::uint64_t ppb() const { return ppb_; }
  [[nodiscard]] constexpr double fraction() const { return static_cast<double>(ppb_) / static_cast<double>(kOne); }
  /// The kernel decides `hash32 < threshold`; 2^32 (needs 33 bits) means always.
  [[nodiscard]] constexpr std::uint64_t threshold32() const {
    return (ppb_ << 32) / kOne;  // ppb_ <= 1e9 < 2^30: no overflow
  }
  /// Canonical: percent without trailing zeros ("10%", "0.1%").
  [[nodiscard]] std::string str() const;
  friend constexpr auto operator<=>(Probability, Probability) = default;

 private:
  static constexpr std::uint64_t kOne = 1'000'000'000;
  std::uint64_t ppb_ = 0;
};

/// "1500ms", "30s", "5m", "1h30m", "0.2ms", "250us", "10ns"; a plain number is seconds. Not negative. Error: kInvalid.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// Canonical: the largest unit that gives an integer ("300s" prints as "5m", 1500 ms as "1500ms").
std::string format_duration(std::chrono::nanoseconds value);

/// "64MiB", "1GB", "512", "10k"; decimal suffixes are powers of 1000, binary ones of 1024. Error: kInvalid.
Result<std::uint64_t> parse_bytes(std::string_view text);
/// Canonical: the largest binary unit that gives an integer.
std::string format_bytes(std::uint64_t value);

/// "100mbit", "1gbit", "10kbit", "5000bit" (bits per second), "10MBps" (bytes per second). Error: kInvalid.
Result<std::uint64_t> parse_bit_rate(std::string_view text);
std::string format_bit_rate(std::uint64_t bits_per_second);

/// Decimal, whole string, unsigned 64 bit. Error: kInvalid.
Result<std::uint64_t> parse_unsigned(std::string_view text);

}  // namespace chaos
