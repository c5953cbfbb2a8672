#include "ctl/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "base/clock.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kDotsAcross = 2;
constexpr std::size_t kDotsDown = 4;

/// Dots in characters, from the top left.
class Canvas {
 public:
  explicit Canvas(PlotSize size) : size_(size), cells_(size.columns * size.rows) {}
  [[nodiscard]] std::size_t width() const { return size_.columns * kDotsAcross; }
  [[nodiscard]] std::size_t height() const { return size_.rows * kDotsDown; }

  void set(std::size_t x, std::size_t y) {
    // Unicode, Braille Patterns: the bits of the dots, by column and row.
    static constexpr std::array<std::array<std::uint8_t, kDotsDown>, kDotsAcross> kBits{
        {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}};
    cells_[y / kDotsDown * size_.columns + x / kDotsAcross] |= kBits[x % kDotsAcross][y % kDotsDown];
  }
  /// A line to (x, y) from one column before, so that a jump is seen as one.
  void connect(std::size_t x, std::size_t from_y, std::size_t to_y) {
    for (std::size_t y = std::min(from_y, to_y); y <= std::max(from_y, to_y); ++y) set(x, y);
  }
  [[nodiscard]] std::string row(std::size_t index) const {
    std::string text;
    for (std::size_t column = 0; column < size_.columns; ++column) {
      const unsigned cell = cells_[index * size_.columns + column];
      // U+2800 and up in UTF-8.
      text += '\xe2';
      text += static_cast<char>(0xa0 | cell >> 6);
      text += static_cast<char>(0x80 | (cell & 0x3f));
    }
    return text;
  }

 private:
  PlotSize size_;
  std::vector<std::uint8_t> cells_;
};

/// HH:MM:SS; with the date, and without seconds, where a day is not enough to tell the times apart.
std::string clock_text(std::int64_t time_ms, bool with_date) {
  const std::string full = format_rfc3339(WallTime(std::chrono::milliseconds(time_ms)));
  return with_date ? full.substr(5, 5) + " " + full.substr(11, 5) : full.substr(11, 8);
}

/// A value, and whether the line to it is broken.
struct Sample {
  std::int64_t time = 0;
  double value = 0;
  bool after_gap = true;
};

/// How far samples are usually apart in `distances`, which is few; 0 if there are none.
std::int64_t usual(std::span<const std::int64_t> distances) {
  if (distances.empty()) return 0;
  std::vector<std::int64_t> sorted(distances.begin(), distances.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::ranges::nth_element(sorted, middle);
  return *middle;
}

/// A step without a sample need not be a gap: steps may be shorter than what lies between samples, and older samples
/// are further apart than newer ones. A gap is what is much longer than the distances before it and behind it.
std::vector<Sample> samples_of(const std::vector<PlotPoint>& points) {
  constexpr std::size_t kAround = 4;  // distances on either side
  constexpr std::size_t kFewest = 3;  // with fewer it is not known what is usual
  constexpr double kMuchLonger = 2.5;
  std::vector<Sample> samples;
  std::vector<std::int64_t> distances;
  bool empty_step = false;
  for (const auto& [time, value] : points) {
    if (value) {
      if (!samples.empty()) distances.push_back(time - samples.back().time);
      samples.push_back({time, *value, samples.empty() || empty_step});
    }
    empty_step = !value;
  }
  if (distances.size() < kFewest) return samples;
  const std::span<const std::int64_t> all(distances);
  for (std::size_t i = 0; i < distances.size(); ++i) {
    const std::size_t first = i - std::min(i, kAround);
    const std::int64_t before = usual(all.subspan(first, i - first));
    const std::int64_t behind = usual(all.subspan(i + 1, std::min(kAround, distances.size() - i - 1)));
    const auto usual_ms = static_cast<double>(std::max(before, behind));
    samples[i + 1].after_gap = static_cast<double>(distances[i]) > kMuchLonger * usual_ms;
  }
  return samples;
}

struct Range {
  double least;
  double most;
};

std::optional<Range> range_of(const std::vector<PlotPoint>& points) {
  std::optional<Range> range;
  for (const auto& [time, value] : points) {
    if (!value) continue;
    if (!range) range = Range{*value, *value};
    range->least = std::min(range->least, *value);
    range->most = std::max(range->most, *value);
  }
  if (!range) return range;
  // Counts begin at 0 unless all that is to be seen is far from it.
  if (range->least > 0 && range->least < range->most / 2) range->least = 0;
  if (range->least == range->most) range->most = range->least + (range->least == 0 ? 1 : std::abs(range->least) / 2);
  return range;
}

void draw(const std::vector<PlotPoint>& points, Range range, Canvas& canvas) {
  const auto first = static_cast<double>(points.front().first);
  const double span = std::max(static_cast<double>(points.back().first) - first, 1.0);
  const auto last_x = static_cast<double>(canvas.width() - 1);
  const auto last_y = static_cast<double>(canvas.height() - 1);
  std::pair<std::size_t, std::size_t> before;
  for (const Sample& sample : samples_of(points)) {
    const auto x = static_cast<std::size_t>(std::lround((static_cast<double>(sample.time) - first) / span * last_x));
    const double height = (sample.value - range.least) / (range.most - range.least);
    const auto y = static_cast<std::size_t>(std::lround((1 - height) * last_y));
    // Level up to here, then up or down: what is between two samples is not known.
    if (sample.after_gap) {
      canvas.set(x, y);
    } else {
      for (std::size_t between = before.first; between < x; ++between) canvas.set(between, before.second);
      canvas.connect(x, before.second, y);
    }
    before = {x, y};
  }
}

}  // namespace

std::string short_number(double value) {
  struct Suffix {
    double factor;
    const char* text;
  };
  static constexpr std::array<Suffix, 4> kSuffixes{{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  if (value < 0) return "-" + short_number(-value);
  for (const auto& [factor, text] : kSuffixes) {
    if (value >= factor) return fmt::format("{:.3g}{}", value / factor, text);
  }
  if (value != 0 && value < 1e-3) return fmt::format("{:.2e}", value);
  return fmt::format("{:.3g}", value);
}

std::vector<std::string> plot(const std::vector<PlotPoint>& points, PlotSize size) {
  const auto range = range_of(points);
  if (!range || size.columns == 0 || size.rows == 0) return {"no samples"};
  Canvas canvas(size);
  draw(points, *range, canvas);
  std::vector<std::string> lines;
  constexpr int kScaleWidth = 8;
  for (std::size_t row = 0; row < size.rows; ++row) {
    const bool labelled = row == 0 || row + 1 == size.rows || row == size.rows / 2;
    const double share = size.rows == 1 ? 0 : static_cast<double>(row) / static_cast<double>(size.rows - 1);
    const double value = range->most - (range->most - range->least) * share;
    lines.push_back(fmt::format("{:>{}} {}{}", labelled ? short_number(value) : "", kScaleWidth, labelled ? "┤" : "│",
                                canvas.row(row)));
  }
  constexpr std::int64_t kDayMs = 86'400'000;
  const bool long_time = points.back().first - points.front().first >= kDayMs;
  const std::string from = clock_text(points.front().first, long_time);
  const std::string to = clock_text(points.back().first, long_time);
  const std::size_t gap = size.columns > from.size() + to.size() ? size.columns - from.size() - to.size() : 1;
  lines.push_back(fmt::format("{:>{}}  {}{:{}}{}", "", kScaleWidth, from, "", gap, to));
  return lines;
}

}  // namespace chaos::ctl
