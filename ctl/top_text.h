// Lines of a screen for chaosctl top: spans of text with a colour, tables that fit into a width, bars of the past. Pure
// functions and values. Texts are made safe for a screen here, whatever they hold.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/text.h"
#include "ctl/top_model.h"

namespace chaos::ctl {

struct TopSpan {
  std::string text;
  Colour colour = Colour::kNone;
  bool reverse = false;  ///< light on dark: titles, what is selected
};

struct TopLine {
  std::vector<TopSpan> spans{};
};

/// What the terminal can show.
struct TopGlyphs {
  bool unicode = true;
};

/// Adds spans to one line, never beyond its width.
class TopLineMaker {
 public:
  TopLineMaker(std::size_t width, TopGlyphs glyphs) : width_(width), glyphs_(glyphs) {}

  TopLineMaker& add(std::string_view text, Colour colour = Colour::kNone);
  /// `label` dim, `value` behind it, two blanks in front unless it is the first.
  TopLineMaker& field(std::string_view label, std::string_view value, Colour colour = Colour::kNone);
  /// As field, without the blanks in front.
  TopLineMaker& field_behind(std::string_view label, std::string_view value, Colour colour = Colour::kNone);
  /// Blanks up to `column`.
  TopLineMaker& pad_to(std::size_t column);
  /// Right-aligned at the end of the line, if there is room.
  TopLineMaker& at_end(std::string_view text, Colour colour = Colour::kNone);
  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t left() const { return width_ - used_; }
  /// Padded to its width, all of it light on dark.
  [[nodiscard]] TopLine reversed();
  [[nodiscard]] TopLine line() { return std::move(line_); }

 private:
  std::size_t width_;
  TopGlyphs glyphs_;
  std::size_t used_ = 0;
  TopLine line_;
};

struct TopColumn {
  std::string title;
  bool right = false;       ///< numbers
  std::size_t least = 4;    ///< narrower it says nothing
  std::size_t most = 1000;  ///< wider it says no more
  int dispensable = 0;      ///< columns with the largest number go first where there is no room; 0: stays
};

struct TopRow {
  std::vector<TopSpan> cells;
  bool selected = false;
};

/// The titles, then `rows`. Columns go and shrink until they fit; widths are those of all rows.
[[nodiscard]] std::vector<TopLine> table_lines(const std::vector<TopColumn>& columns, const std::vector<TopRow>& rows,
                                               std::size_t width, TopGlyphs glyphs);

/// The newest `columns` values, as heights up to the largest, or to `most` if that is more. Empty without values.
[[nodiscard]] std::string past_text(const std::deque<double>& values, std::size_t columns, double most,
                                    TopGlyphs glyphs);

/// Left and right of each other; the left ones are padded to `left_width`, with a gap of two.
[[nodiscard]] std::vector<TopLine> beside(std::vector<TopLine> left, std::vector<TopLine> right,
                                          std::size_t left_width);

[[nodiscard]] std::size_t width_of(const TopLine& line);

/// "12.3%"; "-" for nothing.
[[nodiscard]] std::string percent_text(TopNumber share);
/// "1.2M", "-" for nothing: bytes by 1024.
[[nodiscard]] std::string bytes_text(TopNumber bytes);
/// "12", "1.5k", "0.2", "-" for nothing.
[[nodiscard]] std::string number_text(TopNumber value);

}  // namespace chaos::ctl
