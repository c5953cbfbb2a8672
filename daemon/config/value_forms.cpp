#include "config/value_forms.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace chaos {
namespace {

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// Decimal digits only, no sign, no blanks.
std::optional<unsigned> parse_digits(std::string_view text, unsigned maximum) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || !is_digit(text[0]) || error != std::errc{} || end != text.data() + text.size()) return {};
  return value <= maximum ? std::optional(value) : std::nullopt;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  const auto value = parse_digits(text, 65535);
  if (!value || *value == 0) return {};
  return static_cast<std::uint16_t>(*value);
}

/// True if all bits of `address` from `bits` on are zero.
bool host_bits_zero(std::span<const std::uint8_t> address, unsigned bits) {
  for (std::size_t i = 0; i < address.size(); ++i) {
    const unsigned first = static_cast<unsigned>(i) * 8;
    const unsigned kept = bits <= first ? 0 : std::min(8U, bits - first);
    if ((address[i] & (0xffU >> kept)) != 0) return false;
  }
  return true;
}

std::optional<unsigned> parse_day(std::string_view text) {
  constexpr std::array<std::string_view, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = std::ranges::find(kDays, lower);
  if (found == kDays.end()) return {};
  return static_cast<unsigned>(found - kDays.begin());
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

/// "mon-fri,sun" → bits; a range may pass over Sunday ("sat-mon").
std::optional<std::uint8_t> parse_days(std::string_view text) {
  unsigned bits = 0;
  for (const std::string_view part : split(text, ',')) {
    const auto ends = split(part, '-');
    const auto first = parse_day(ends.front());
    const auto last = parse_day(ends.back());
    if (ends.size() > 2 || !first || !last) return {};
    for (unsigned day = *first;; day = (day + 1) % 7) {
      bits |= 1U << day;
      if (day == *last) break;
    }
  }
  return static_cast<std::uint8_t>(bits);
}

std::optional<std::chrono::minutes> parse_time_of_day(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() != 2 || parts[0].size() != 2 || parts[1].size() != 2) return {};
  const auto hours = parse_digits(parts[0], 24);
  const auto minutes = parse_digits(parts[1], 59);
  if (!hours || !minutes || (*hours == 24 && *minutes != 0)) return {};
  return std::chrono::minutes(*hours * 60 + *minutes);
}

}  // namespace

bool is_absolute_path(std::string_view text) {
  if (text.empty() || text[0] != '/' || text.size() > 4095 || !is_printable(text)) return false;
  if (text.size() > 1 && text.back() == '/') return false;
  return std::ranges::none_of(split(text, '/'), [](std::string_view part) { return part == ".."; });
}

bool is_unit_name(std::string_view text) {
  constexpr std::array<std::string_view, 11> kSuffixes{".service", ".scope",  ".slice",    ".socket",
                                                       ".mount",   ".target", ".timer",    ".device",
                                                       ".path",    ".swap",   ".automount"};
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || text.size() > 255) return false;
  if (std::ranges::find(kSuffixes, text.substr(dot)) == kSuffixes.end()) return false;
  return std::ranges::all_of(text, [](char c) { return is_alnum(c) || std::string_view(":-_.\\@").contains(c); });
}

bool is_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  std::array<std::uint8_t, 16> bytes{};
  const bool is_v4 = address.find(':') == std::string::npos;
  if (inet_pton(is_v4 ? AF_INET : AF_INET6, address.c_str(), bytes.data()) != 1) return false;
  const unsigned width = is_v4 ? 32 : 128;
  if (slash == std::string_view::npos) return true;
  const auto bits = parse_digits(text.substr(slash + 1), width);
  return bits && host_bits_zero(std::span(bytes).first(width / 8), *bits);
}

std::optional<PortRange> parse_port_range(std::string_view text) {
  const auto ends = split(text, '-');
  const auto first = parse_port(ends.front());
  const auto last = parse_port(ends.back());
  if (ends.size() > 2 || !first || !last || *first > *last) return {};
  return PortRange{*first, *last};
}

bool is_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !parse_port(text.substr(colon + 1))) return false;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return is_cidr(host.substr(1, host.size() - 2)) && host.contains(':') && !host.contains('/');
  }
  return !host.empty() && host.size() <= 253 &&
         std::ranges::all_of(host, [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

bool is_listen_address(std::string_view text) {
  const std::string_view host = text.substr(0, text.rfind(':'));
  return is_host_port(text) && (host == "localhost" || host.starts_with('[') || (is_cidr(host) && !host.contains('/')));
}

bool is_http_url(std::string_view text) {
  const std::size_t scheme = text.starts_with("http://") ? 7 : text.starts_with("https://") ? 8 : 0;
  if (scheme == 0 || text.size() == scheme || text[scheme] == '/') return false;
  return is_printable(text) && !text.contains(' ');
}

bool is_group_name(std::string_view text) {
  if (text.empty() || text.size() > 32 || text[0] == '-' || is_digit(text[0])) return false;
  return std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_time_zone(std::string_view text) {
  if (text == "UTC" || text == "local") return true;
  if (text.empty() || text.size() > 64 || !is_alnum(text[0]) || text.contains("..")) return false;
  if (!std::ranges::all_of(text, [](char c) { return is_alnum(c) || std::string_view("/_+-").contains(c); })) {
    return false;
  }
  std::error_code error;
  return std::filesystem::is_regular_file(std::filesystem::path("/usr/share/zoneinfo") / text, error);
}

std::optional<TimeWindow> parse_time_window(std::string_view text) {
  const std::size_t blank = text.find(' ');
  const auto days =
      blank == std::string_view::npos ? std::optional<std::uint8_t>(0x7f) : parse_days(text.substr(0, blank));
  const auto hours = split(text.substr(blank == std::string_view::npos ? 0 : blank + 1), '-');
  if (!days || hours.size() != 2) return {};
  const auto from = parse_time_of_day(hours[0]);
  const auto to = parse_time_of_day(hours[1]);
  if (!from || !to || *from == std::chrono::hours(24)) return {};
  return TimeWindow{*days, *from, *to};
}

bool is_metric_name(std::string_view text) {
  if (text.empty() || text.size() > 200 || is_digit(text[0])) return false;
  return std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '_' || c == ':'; });
}

bool is_json_pointer(std::string_view text) {
  if (text.empty()) return true;
  if (text[0] != '/') return false;
  for (std::size_t at = text.find('~'); at != std::string_view::npos; at = text.find('~', at + 1)) {
    if (at + 1 >= text.size() || (text[at + 1] != '0' && text[at + 1] != '1')) return false;
  }
  return true;
}

}  // namespace chaos
