#include "ctl/text.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cwchar>
#include <utility>

#include <locale.h>

#include <fmt/format.h>

namespace chaos::ctl {
namespace {

constexpr char32_t kInvalid = 0xFFFFFFFF;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Decoded {
  char32_t code = kInvalid;
  std::size_t length = 1;  ///< bytes used
};

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Decoded decode_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) return {};
  return {code, length};
}

// C0, DEL, C1, line and paragraph separators, and the bidirectional controls that can reorder what is shown.
bool is_control(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

std::string escaped(char32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\t') return "\\t";
  if (code == '\r') return "\\r";
  const auto value = static_cast<std::uint32_t>(code);
  return value < 0x100 ? fmt::format("\\x{:02x}", value) : fmt::format("\\u{:04x}", value);
}

std::string make_printable(std::string_view text, bool keep_lines) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Decoded next = decode_utf8(text);
    if (next.code == kInvalid) {
      result += kReplacement;
    } else if (is_control(next.code) && !(keep_lines && next.code == '\n')) {
      result += escaped(next.code);
    } else {
      result += text.substr(0, next.length);
    }
    text.remove_prefix(next.length);
  }
  return result;
}

// wcwidth() knows the widths of Unicode only under a UTF-8 locale, whatever the user's is. -1: not a character of it.
int known_width(char32_t code) {
  static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) return 1;
  const locale_t before = ::uselocale(utf8);
  const int width = ::wcwidth(static_cast<wchar_t>(code));
  ::uselocale(before);
  return width;
}

int width_of(char32_t code) {
  const int width = known_width(code);
  return width < 0 ? 1 : width;
}

// Combining Diacritical Marks: what names are spelled with. Everything else without a width joins, hides or reorders.
bool is_accent(char32_t code) { return code >= 0x300 && code < 0x370; }

std::string_view escape_of(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kBold:
      return "\x1b[1m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kDim:
      return "\x1b[2m";
  }
  return "";
}

}  // namespace

std::string printable(std::string_view text) { return make_printable(text, /*keep_lines=*/false); }

std::string printable_lines(std::string_view text) { return make_printable(text, /*keep_lines=*/true); }

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Decoded next = decode_utf8(text);
    width += next.code < 0x80 || next.code == kInvalid ? 1 : static_cast<std::size_t>(width_of(next.code));
    text.remove_prefix(next.length);
  }
  return width;
}

std::string cell_text(std::string_view text, bool unicode) {
  std::string result;
  std::string safe = printable(text);
  std::string_view rest = safe;
  while (!rest.empty()) {
    const Decoded next = decode_utf8(rest);
    const std::string_view bytes = rest.substr(0, next.length);
    rest.remove_prefix(next.length);
    if (next.code < 0x80) {
      result += bytes;
    } else if (!unicode) {
      result += bytes == kReplacement ? "?" : escaped(next.code);
    } else if (const int width = known_width(next.code); width > 0 || (width == 0 && is_accent(next.code))) {
      result += bytes;
    } else if (width < 0) {
      result += escaped(next.code);
    }
  }
  return result;
}

std::string cut_to(std::string_view text, std::size_t columns, bool unicode) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::string result;
  std::size_t width = 0;
  while (!text.empty()) {
    const Decoded next = decode_utf8(text);
    const std::string_view bytes = text.substr(0, next.length);
    width += display_width(bytes);
    if (width >= columns) break;  // the mark needs a column
    result += bytes;
    text.remove_prefix(next.length);
  }
  return result + (unicode ? "…" : "~");
}

std::string paint(std::string_view text, Colour colour, bool enabled) {
  const std::string_view escape = escape_of(colour);
  if (!enabled || escape.empty() || text.empty()) return std::string(text);
  return std::string(escape) + std::string(text) + "\x1b[0m";
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  int year_number = 0;
  unsigned month_number = 0;
  unsigned day_number = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int consumed = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%4d-%2u-%2uT%2d:%2d:%2d%n", &year_number, &month_number, &day_number, &hour, &minute,
                  &second, &consumed) != 6) {
    return std::nullopt;
  }
  const year_month_day date{year{year_number}, month{month_number}, day{day_number}};
  if (!date.ok()) return std::nullopt;
  std::string_view rest = text.substr(static_cast<std::size_t>(consumed));
  int millis = 0;
  if (rest.starts_with('.')) {
    int scale = 100;
    for (rest.remove_prefix(1); !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; rest.remove_prefix(1)) {
      millis += (rest[0] - '0') * scale;
      scale /= 10;
    }
  }
  if (rest != "Z" && rest != "+00:00") return std::nullopt;
  return sys_days{date} + hours{hour} + minutes{minute} + seconds{second} + milliseconds{millis};
}

std::string span_text(std::chrono::milliseconds span) {
  const std::int64_t ms = span.count() < 0 ? -span.count() : span.count();
  if (ms < 1000) return fmt::format("{}ms", ms);
  constexpr std::array<std::pair<std::int64_t, char>, 4> kUnits{
      {{86'400'000, 'd'}, {3'600'000, 'h'}, {60'000, 'm'}, {1000, 's'}}};
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const auto [size, letter] = kUnits[i];
    if (ms < size) continue;
    const std::int64_t rest = ms % size / kUnits[i + 1].first;
    return rest == 0 ? fmt::format("{}{}", ms / size, letter)
                     : fmt::format("{}{} {}{}", ms / size, letter, rest, kUnits[i + 1].second);
  }
  return fmt::format("{}s", ms / 1000);
}

std::string relative_time(WallTime time, WallTime now) {
  std::chrono::milliseconds away = time - now;
  if (away == away.zero()) return "now";
  // What was started for 30s a moment ago ends in 30s, not in 29s.
  if (std::chrono::abs(away) >= std::chrono::seconds(1)) away = std::chrono::round<std::chrono::seconds>(away);
  return away > away.zero() ? "in " + span_text(away) : span_text(away) + " ago";
}

}  // namespace chaos::ctl
