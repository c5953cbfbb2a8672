// Plot: a series over time as lines of text, drawn with Braille dots (2 by 4 in a character). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace chaos::ctl {

struct PlotSize {
  std::size_t columns = 72;  ///< of the drawing, without the scale beside it
  std::size_t rows = 10;
};

/// Unix milliseconds, and the value or nothing.
using PlotPoint = std::pair<std::int64_t, std::optional<double>>;

/// Lines with the values' scale on the left and the times (UTC) below. The line is broken where samples are missing:
/// where two are much further apart than those around them, whether the steps between have no value or are not there at
/// all. A single step without a value is bridged, as steps and samples seldom fall together; only with too few values
/// to tell it is a gap. Without any value: one line that says so.
[[nodiscard]] std::vector<std::string> plot(const std::vector<PlotPoint>& points, PlotSize size);

/// "1.23M", "456k", "0.012": four characters of value at most, for scales.
[[nodiscard]] std::string short_number(double value);

}  // namespace chaos::ctl
