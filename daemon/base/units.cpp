#include "base/units.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

#include <fmt/format.h>

namespace chaos {
namespace {

__extension__ typedef unsigned __int128 Wide;

// A decimal number as written: digits / 10^decimals.
struct Decimal {
  std::uint64_t digits = 0;
  unsigned decimals = 0;
};

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::uint64_t power_of_ten(unsigned exponent) {
  std::uint64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

/// Takes "12", "12.5" or ".5" from the front of `text`; as many digits as 64 bits hold, so that products fit 128 bits.
std::optional<Decimal> take_decimal(std::string_view& text) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  constexpr unsigned kMaxDecimals = 19;
  Decimal number;
  bool point = false;
  std::size_t at = 0;
  bool any = false;
  for (; at < text.size(); ++at) {
    if (text[at] == '.' && !point) {
      point = true;
      continue;
    }
    if (!is_digit(text[at])) break;
    any = true;
    const auto digit = static_cast<std::uint64_t>(text[at] - '0');
    if (number.digits > (kMost - digit) / 10) return std::nullopt;
    number.digits = number.digits * 10 + digit;
    if (point) ++number.decimals;
  }
  if (!any || text[at - 1] == '.') return std::nullopt;
  while (number.decimals > 0 && number.digits % 10 == 0) {
    number.digits /= 10;
    --number.decimals;
  }
  if (number.decimals > kMaxDecimals) return std::nullopt;
  text.remove_prefix(at);
  return number;
}

/// number * factor if that is an integer of 64 bits.
std::optional<std::uint64_t> scale(Decimal number, std::uint64_t factor) {
  const Wide product = static_cast<Wide>(number.digits) * factor;
  const std::uint64_t divisor = power_of_ten(number.decimals);
  if (product % divisor != 0) return std::nullopt;
  const Wide value = product / divisor;
  if (value > std::numeric_limits<std::uint64_t>::max()) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::optional<std::uint64_t> factor_of(std::span<const Unit> units, std::string_view name) {
  const auto unit = std::ranges::find(units, name, &Unit::name);
  if (unit == units.end()) return std::nullopt;
  return unit->factor;
}

/// `value` in the first of `units` (largest first) that divides it.
std::string format_unit(std::span<const Unit> units, std::uint64_t value) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) return fmt::format("{}{}", value / unit.factor, unit.name);
  }
  return fmt::format("{}{}", value, units.back().name);
}

std::unexpected<Error> not_a(std::string_view what, std::string_view text, std::string_view rule,
                             std::string_view hint) {
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not {}", text, what), {}, std::string(rule), std::string(hint));
}

constexpr std::array kDurationUnits = {
    Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000}, Unit{"s", 1'000'000'000},
    Unit{"ms", 1'000'000},        Unit{"us", 1'000},         Unit{"ns", 1},
};
// A day is taken, and given back in hours.
constexpr Unit kDay{"d", 86'400'000'000'000};
constexpr std::array kByteUnits = {
    Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20}, Unit{"KiB", 1ULL << 10}, Unit{"B", 1},
};
// Suffixes in lower case, as parse_bytes compares them.
constexpr std::array kByteSuffixes = {
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"k", 1'000},
    Unit{"kb", 1'000},
    Unit{"m", 1'000'000},
    Unit{"mb", 1'000'000},
    Unit{"g", 1'000'000'000},
    Unit{"gb", 1'000'000'000},
    Unit{"t", 1'000'000'000'000},
    Unit{"tb", 1'000'000'000'000},
    Unit{"ki", 1ULL << 10},
    Unit{"kib", 1ULL << 10},
    Unit{"mi", 1ULL << 20},
    Unit{"mib", 1ULL << 20},
    Unit{"gi", 1ULL << 30},
    Unit{"gib", 1ULL << 30},
    Unit{"ti", 1ULL << 40},
    Unit{"tib", 1ULL << 40},
};
constexpr std::array kRateUnits = {
    Unit{"tbit", 1'000'000'000'000},
    Unit{"gbit", 1'000'000'000},
    Unit{"mbit", 1'000'000},
    Unit{"kbit", 1'000},
    Unit{"bit", 1},
};
constexpr std::array kRateByteUnits = {
    Unit{"tBps", 8'000'000'000'000},
    Unit{"gBps", 8'000'000'000},
    Unit{"mBps", 8'000'000},
    Unit{"kBps", 8'000},
    Unit{"Bps", 8},
};

}  // namespace

Result<Probability> Probability::parse(std::string_view text) {
  constexpr std::string_view kWhat = "a probability";
  constexpr std::string_view kRule = "0% to 100%";
  std::string_view rest = text;
  if (text.starts_with('-')) return not_a(kWhat, text, kRule, "give 0% or more");
  const auto number = take_decimal(rest);
  if (!number || (!rest.empty() && rest != "%")) {
    return not_a(kWhat, text, kRule, "write a percentage (10%) or a fraction of 1 (0.1)");
  }
  const bool percent = !rest.empty();
  const Wide product = static_cast<Wide>(number->digits) * (percent ? kOne / 100 : kOne);
  const std::uint64_t divisor = power_of_ten(number->decimals);
  if (product > static_cast<Wide>(kOne) * divisor) {
    return not_a(
        kWhat, text, "max 100%",
        percent ? "give 100% or less" : fmt::format("write {}% for percent; a plain number is a fraction of 1", text));
  }
  if (product % divisor != 0) {
    return not_a("a probability that can be held exactly", text, "steps of 0.0000001%", "round it to 7 decimals");
  }
  return from_ppb(static_cast<std::uint64_t>(product / divisor));
}

std::string Probability::str() const {
  constexpr std::uint64_t kPercent = kOne / 100;
  std::string result = std::to_string(ppb_ / kPercent);
  if (const std::uint64_t part = ppb_ % kPercent; part != 0) {
    result += fmt::format(".{:07}", part);
    result.erase(result.find_last_not_of('0') + 1);
  }
  return result + "%";
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr std::string_view kWhat = "a duration";
  constexpr std::string_view kHint = "write a number with ns, us, ms, s, m, h or d, largest first: 50ms, 30s, 1h30m";
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.starts_with('-')) return not_a(kWhat, text, "min 0s", "a duration cannot be negative");
  std::string_view rest = text;
  std::uint64_t total = 0;
  std::uint64_t last_factor = std::numeric_limits<std::uint64_t>::max();
  do {
    const bool first = rest.size() == text.size();
    const auto number = take_decimal(rest);
    if (!number) return not_a(kWhat, text, {}, kHint);
    const auto end = std::ranges::find_if(rest, [](char c) { return is_digit(c) || c == '.'; });
    std::string_view name = rest.substr(0, static_cast<std::size_t>(end - rest.begin()));
    rest.remove_prefix(name.size());
    if (name == "\u00b5s") name = "us";
    if (first && name.empty() && rest.empty()) name = "s";
    const auto factor = name == kDay.name ? std::optional(kDay.factor) : factor_of(kDurationUnits, name);
    if (!factor || *factor >= last_factor) return not_a(kWhat, text, {}, kHint);
    last_factor = *factor;
    const auto value = scale(*number, *factor);
    if (!value || *value > kMax - total) {
      return not_a(kWhat, text, "whole nanoseconds, at most 292 years", "round it, or give less");
    }
    total += *value;
  } while (!rest.empty());
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

std::string format_duration(std::chrono::nanoseconds value) {
  if (value.count() == 0) return "0s";
  if (value.count() < 0) return "-" + format_duration(-value);
  return format_unit(kDurationUnits, static_cast<std::uint64_t>(value.count()));
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view kWhat = "a size in bytes";
  constexpr std::string_view kHint = "write a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB: 64MiB";
  if (text.starts_with('-')) return not_a(kWhat, text, "min 0B", "a size cannot be negative");
  std::string_view rest = text;
  const auto number = take_decimal(rest);
  const auto factor = factor_of(kByteSuffixes, lower(rest));
  if (!number || !factor) return not_a(kWhat, text, {}, kHint);
  const auto value = scale(*number, *factor);
  if (!value) return not_a(kWhat, text, "whole bytes, below 16 EiB", "round it, or give less");
  return *value;
}

std::string format_bytes(std::uint64_t value) { return format_unit(kByteUnits, value); }

Result<std::uint64_t> parse_bit_rate(std::string_view text) {
  constexpr std::string_view kWhat = "a rate";
  if (text.starts_with('-')) return not_a(kWhat, text, "min 0bit", "a rate cannot be negative");
  std::string_view rest = text;
  const auto number = take_decimal(rest);
  std::optional<std::uint64_t> factor;
  if (rest.ends_with("Bps")) {
    // A capital B is what tells bytes from bits: only the prefix may be in either case.
    factor = factor_of(kRateByteUnits, lower(rest.substr(0, rest.size() - 3)) + "Bps");
  } else {
    factor = factor_of(kRateUnits, lower(rest));
  }
  if (!number || !factor) {
    const bool ambiguous = number && lower(rest).ends_with("bps");
    return not_a(kWhat, text, {},
                 ambiguous ? "write mbit for bits or MBps for bytes per second"
                           : "write a number with bit, kbit, mbit, gbit or tbit, or with kBps, MBps, GBps: 100mbit");
  }
  const auto value = scale(*number, *factor);
  if (!value) return not_a(kWhat, text, "whole bits per second, 64 bit", "round it, or give less");
  return *value;
}

std::string format_bit_rate(std::uint64_t bits_per_second) { return format_unit(kRateUnits, bits_per_second); }

Result<std::uint64_t> parse_unsigned(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return not_a("an integer of 64 bits", text, "max 2^64-1", "give less");
  if (error != std::errc{} || end != text.data() + text.size()) {
    return not_a("an unsigned integer", text, "decimal digits only", "write 10, not 1e1, +10 or 0x0a");
  }
  return value;
}

}  // namespace chaos
