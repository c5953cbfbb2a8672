// Text for terminals: strings from the daemon made safe to print, their width in columns, and time spans as people
// say them. Pure functions and values; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace chaos::ctl {

/// One line of valid UTF-8 without control characters: those become escapes ("\n", "\x1b"), so that the comm or reason
/// that somebody chose cannot steer the terminal; invalid bytes become U+FFFD.
[[nodiscard]] std::string printable(std::string_view text);
/// As printable, but keeps line ends.
[[nodiscard]] std::string printable_lines(std::string_view text);

/// Columns that `text` (printable UTF-8) takes: wide characters 2, combining ones 0.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// As printable, for a screen of cells, where each character must take the columns that it is thought to take: what has
/// none but the usual accents is left out, what the C library does not know becomes an escape. Without `unicode`
/// everything beyond ASCII is an escape.
[[nodiscard]] std::string cell_text(std::string_view text, bool unicode);

/// The head of `text` (from cell_text) that fits into `columns`; what is cut off ends in "…", or "~" without `unicode`.
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t columns, bool unicode);

enum class Colour { kNone, kBold, kRed, kGreen, kYellow, kDim };
/// `text` in `colour`, or as it is if `enabled` is false.
[[nodiscard]] std::string paint(std::string_view text, Colour colour, bool enabled);

/// RFC 3339 in UTC, as the daemon prints it. Empty for anything else.
[[nodiscard]] std::optional<WallTime> parse_rfc3339(std::string_view text);
/// "in 4m 12s", "3s ago", "now".
[[nodiscard]] std::string relative_time(WallTime time, WallTime now);
/// "2d 3h", "4m 12s", "850ms": the two largest units.
[[nodiscard]] std::string span_text(std::chrono::milliseconds span);

}  // namespace chaos::ctl
