// Table: aligned columns for people, folded to the width of their terminal. A value; any thread.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/text.h"

namespace chaos::ctl {

/// Two blanks between columns. Cells are made printable; nothing is cut off.
class Table {
 public:
  struct Cell {
    std::string text;
    Colour colour = Colour::kNone;
  };
  struct Style {
    bool colour = false;
    std::size_t columns = 0;  ///< what it shall fit into, if that can be had by folding at blanks; 0: any width
    std::string_view indent{};
  };

  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  /// Missing cells are empty; there are never more cells than headers.
  void add(std::vector<Cell> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Without headers of any text, no header line is printed.
  void print(std::ostream& out, const Style& style) const;

 private:
  [[nodiscard]] std::vector<std::size_t> widths(const Style& style) const;

  std::vector<std::string> headers_;
  std::vector<std::vector<Cell>> rows_;
};

/// `text` (printable UTF-8) in lines of at most `width` columns, broken at blanks; a longer word has a line of its own.
[[nodiscard]] std::vector<std::string> fold(std::string_view text, std::size_t width);

}  // namespace chaos::ctl
