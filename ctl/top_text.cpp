#include "ctl/top_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "ctl/plot.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kGap = 1;

/// Widths of the columns, 0 for those that are left out.
class Widths {
 public:
  Widths(const std::vector<TopColumn>& columns, const std::vector<TopRow>& rows, std::size_t width, bool unicode)
      : columns_(columns) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      std::size_t natural = display_width(columns[i].title);
      for (const TopRow& row : rows) {
        if (i < row.cells.size()) natural = std::max(natural, display_width(cell_text(row.cells[i].text, unicode)));
      }
      widths_.push_back(std::min(natural, std::max(columns[i].most, display_width(columns[i].title))));
    }
    while (least() > width && leave_out()) {
    }
    while (all(widths_) > width && shrink()) {
    }
  }
  [[nodiscard]] const std::vector<std::size_t>& get() const { return widths_; }

 private:
  [[nodiscard]] static std::size_t all(const std::vector<std::size_t>& widths) {
    const auto used = static_cast<std::size_t>(std::ranges::count_if(widths, [](std::size_t one) { return one > 0; }));
    return std::accumulate(widths.begin(), widths.end(), std::size_t{0}) + (used > 0 ? (used - 1) * kGap : 0);
  }
  [[nodiscard]] std::size_t least() const {
    std::vector<std::size_t> widths = widths_;
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::min(widths[i], columns_[i].least);
    return all(widths);
  }
  bool leave_out() {
    std::size_t worst = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (widths_[i] == 0 || columns_[i].dispensable == 0) continue;
      if (worst == columns_.size() || columns_[i].dispensable >= columns_[worst].dispensable) worst = i;
    }
    if (worst == columns_.size()) return false;
    widths_[worst] = 0;
    return true;
  }
  bool shrink() {
    std::size_t widest = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (widths_[i] <= columns_[i].least) continue;
      if (widest == columns_.size() || widths_[i] > widths_[widest]) widest = i;
    }
    if (widest == columns_.size()) return false;
    --widths_[widest];
    return true;
  }

  const std::vector<TopColumn>& columns_;
  std::vector<std::size_t> widths_;
};

TopLine row_line(const std::vector<TopColumn>& columns, const std::vector<TopSpan>& cells,
                 const std::vector<std::size_t>& widths, std::size_t width, TopGlyphs glyphs) {
  TopLineMaker line(width, glyphs);
  std::size_t column = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (widths[i] == 0) continue;
    line.pad_to(column);
    const TopSpan cell = i < cells.size() ? cells[i] : TopSpan{};
    const std::string text = cut_to(cell_text(cell.text, glyphs.unicode), widths[i], glyphs.unicode);
    if (columns[i].right) line.pad_to(column + widths[i] - display_width(text));
    line.add(text, cell.colour);
    column += widths[i] + kGap;
  }
  return line.line();
}

std::size_t width_of_field(std::string_view label, std::string_view value) {
  return display_width(label) + display_width(value) + (label.empty() ? 0 : 1);
}

}  // namespace

TopLineMaker& TopLineMaker::add(std::string_view text, Colour colour) {
  std::string safe = cut_to(cell_text(text, glyphs_.unicode), left(), glyphs_.unicode);
  if (safe.empty()) return *this;
  used_ += display_width(safe);
  line_.spans.push_back({std::move(safe), colour});
  return *this;
}

TopLineMaker& TopLineMaker::field(std::string_view label, std::string_view value, Colour colour) {
  constexpr std::size_t kBetween = 2;
  const std::size_t blanks = used_ > 0 ? kBetween : 0;
  // Half a number is worse than none.
  if (width_of_field(label, value) + blanks > left()) return *this;
  add(std::string(blanks, ' '));
  return field_behind(label, value, colour);
}

TopLineMaker& TopLineMaker::field_behind(std::string_view label, std::string_view value, Colour colour) {
  if (width_of_field(label, value) > left()) return *this;
  if (!label.empty()) add(label, Colour::kDim).add(" ");
  return add(value, colour);
}

TopLineMaker& TopLineMaker::pad_to(std::size_t column) {
  if (column > used_) add(std::string(std::min(column, width_) - used_, ' '));
  return *this;
}

TopLineMaker& TopLineMaker::at_end(std::string_view text, Colour colour) {
  const std::size_t wanted = display_width(cell_text(text, glyphs_.unicode));
  if (wanted + (used_ > 0 ? 1 : 0) > left()) return *this;
  return pad_to(width_ - wanted).add(text, colour);
}

TopLine TopLineMaker::reversed() {
  pad_to(width_);
  for (TopSpan& span : line_.spans) span.reverse = true;
  return std::move(line_);
}

std::vector<TopLine> table_lines(const std::vector<TopColumn>& columns, const std::vector<TopRow>& rows,
                                 std::size_t width, TopGlyphs glyphs) {
  const Widths widths(columns, rows, width, glyphs.unicode);
  std::vector<TopSpan> titles;
  for (const TopColumn& column : columns) titles.push_back({column.title, Colour::kBold});
  std::vector<TopLine> lines{row_line(columns, titles, widths.get(), width, glyphs)};
  for (const TopRow& row : rows) {
    lines.push_back(row_line(columns, row.cells, widths.get(), width, glyphs));
    if (!row.selected) continue;
    TopLine& line = lines.back();
    line.spans.push_back({std::string(width - std::min(width, width_of(line)), ' ')});
    for (TopSpan& span : line.spans) span.reverse = true;
  }
  return lines;
}

std::string past_text(const std::deque<double>& values, std::size_t columns, double most, TopGlyphs glyphs) {
  static constexpr std::array<std::string_view, 9> kBars{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::array<std::string_view, 9> kPlain{" ", ".", ".", ":", "-", "=", "+", "*", "#"};
  std::string text;
  const std::size_t count = std::min(columns, values.size());
  const auto first = values.end() - static_cast<std::ptrdiff_t>(count);
  const double top =
      std::accumulate(first, values.end(), most, [](double one, double other) { return std::max(one, other); });
  for (auto value = first; value != values.end(); ++value) {
    const double share = top > 0 ? std::clamp(*value / top, 0.0, 1.0) : 0;
    // What is there at all is seen.
    const auto level = static_cast<std::size_t>(std::ceil(share * (kBars.size() - 1)));
    text += glyphs.unicode ? kBars[level] : kPlain[level];
  }
  return text;
}

std::size_t width_of(const TopLine& line) {
  return std::accumulate(line.spans.begin(), line.spans.end(), std::size_t{0},
                         [](std::size_t sum, const TopSpan& span) { return sum + display_width(span.text); });
}

std::vector<TopLine> beside(std::vector<TopLine> left, std::vector<TopLine> right, std::size_t left_width) {
  const std::size_t rows = std::max(left.size(), right.size());
  left.resize(rows);
  right.resize(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    TopLine& line = left[i];
    if (right[i].spans.empty()) continue;
    const std::size_t used = width_of(line);
    line.spans.push_back({std::string(left_width + 2 - std::min(left_width, used), ' ')});
    std::ranges::move(right[i].spans, std::back_inserter(line.spans));
  }
  return left;
}

std::string percent_text(TopNumber share) {
  if (!share) return "-";
  return fmt::format("{:.1f}%", *share * 100);
}

std::string bytes_text(TopNumber bytes) {
  if (!bytes) return "-";
  static constexpr std::array<const char*, 5> kUnits{"", "K", "M", "G", "T"};
  double value = *bytes;
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 || value >= 99.5 ? fmt::format("{:.0f}{}", value, kUnits[unit])
                                    : fmt::format("{:.1f}{}", value, kUnits[unit]);
}

std::string number_text(TopNumber value) {
  if (!value) return "-";
  if (*value < 10 && *value != std::floor(*value)) return fmt::format("{:.1f}", *value);
  return *value < 1000 ? fmt::format("{:.0f}", *value) : short_number(*value);
}

}  // namespace chaos::ctl
