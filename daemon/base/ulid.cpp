#include "base/ulid.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <ranges>

#include "base/clock.h"

namespace chaos {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t kLength = 26;
constexpr std::size_t kTimeChars = 10;

// 80 bits as 16 base32 digits, most significant first.
using RandomDigits = std::array<std::uint8_t, kLength - kTimeChars>;

RandomDigits fresh_digits() {
  RandomDigits digits{};
  ssize_t got = 0;
  do {
    got = ::getrandom(digits.data(), digits.size(), 0);
  } while (got < 0 && errno == EINTR);
  // Requests of up to 256 bytes are never cut short (getrandom(2)). Without random bits, ids would not be unique.
  if (got != static_cast<ssize_t>(digits.size())) std::abort();
  for (auto& digit : digits) digit &= 31;
  return digits;
}

void increment(RandomDigits& digits) {
  for (auto& digit : std::views::reverse(digits)) {
    if (++digit < 32) return;
    digit = 0;
  }
}

}  // namespace

std::string make_ulid() {
  static std::mutex mutex;
  static std::uint64_t last_ms = 0;
  static RandomDigits digits{};

  const auto now_ms = static_cast<std::uint64_t>(system_clock().wall().time_since_epoch().count());
  std::string id(kLength, '0');
  const std::lock_guard lock(mutex);
  // Ids of one millisecond count up, so that they sort in the order in which they were made (ulid/spec, monotonicity).
  if (now_ms == last_ms) {
    increment(digits);
  } else {
    digits = fresh_digits();
    last_ms = now_ms;
  }
  std::uint64_t rest = now_ms;
  for (std::size_t i = kTimeChars; i-- > 0; rest >>= 5) id[i] = kAlphabet[rest & 31];
  for (std::size_t i = 0; i < digits.size(); ++i) id[kTimeChars + i] = kAlphabet[digits[i]];
  return id;
}

bool is_ulid(std::string_view text) {
  if (text.size() != kLength || text[0] > '7') return false;
  for (char c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (kAlphabet.find(c) == std::string_view::npos) return false;
  }
  return true;
}

}  // namespace chaos
