#include "ctl/table.h"

#include <algorithm>
#include <numeric>

namespace chaos::ctl {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLeast = 16;  // columns that a column of text is left with

std::size_t longest_word(const std::string& text) {
  std::size_t longest = 0;
  for (const std::string& word : fold(text, 0)) longest = std::max(longest, display_width(word));
  return longest;
}

}  // namespace

std::vector<std::string> fold(std::string_view text, std::size_t width) {
  std::vector<std::string> lines{""};
  while (!text.empty()) {
    const std::size_t blank = text.find(' ');
    const std::string_view word = text.substr(0, blank);
    text.remove_prefix(blank == std::string_view::npos ? text.size() : blank + 1);
    std::string& line = lines.back();
    const std::size_t wanted = display_width(line) + (line.empty() ? 0 : 1) + display_width(word);
    if (line.empty()) {
      line = word;
    } else if (wanted <= width) {
      line.append(" ").append(word);
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

void Table::add(std::vector<Cell> cells) {
  for (Cell& cell : cells) cell.text = printable(cell.text);
  cells.resize(headers_.size());
  rows_.push_back(std::move(cells));
}

/// Of the columns; the widest give way until the whole fits.
std::vector<std::size_t> Table::widths(const Style& style) const {
  std::vector<std::size_t> widths;
  for (const std::string& header : headers_) widths.push_back(display_width(header));
  std::vector<std::size_t> least(widths.size(), kLeast);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i].text));
      least[i] = std::max(least[i], longest_word(row[i].text));
    }
  }
  const auto all = [&] {
    return std::accumulate(widths.begin(), widths.end(), style.indent.size() + kGap * (widths.size() - 1));
  };
  while (style.columns > 0 && all() > style.columns) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] > least[i] && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
  }
  return widths;
}

void Table::print(std::ostream& out, const Style& style) const {
  const std::vector<std::size_t> widths = this->widths(style);
  const auto print_line = [&](const std::vector<Cell>& row) {
    std::string line(style.indent);
    std::size_t pending = 0;  // blanks are written only when something follows them
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (!row[i].text.empty()) {
        line.append(pending, ' ');
        pending = 0;
        line += paint(row[i].text, row[i].colour, style.colour);
      }
      const std::size_t used = display_width(row[i].text);
      pending += kGap + (widths[i] > used ? widths[i] - used : 0);
    }
    out << line << '\n';
  };
  const auto print_row = [&](const std::vector<Cell>& row) {
    std::vector<std::vector<Cell>> lines;
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::size_t number = 0;
      const bool fits = display_width(row[i].text) <= widths[i];
      for (std::string& part : fits ? std::vector{row[i].text} : fold(row[i].text, widths[i])) {
        if (number == lines.size()) lines.emplace_back(row.size());
        lines[number++][i] = {std::move(part), row[i].colour};
      }
    }
    std::ranges::for_each(lines, print_line);
  };
  if (std::ranges::any_of(headers_, [](const std::string& header) { return !header.empty(); })) {
    std::vector<Cell> titles;
    titles.reserve(headers_.size());
    for (const std::string& header : headers_) titles.push_back({header, Colour::kBold});
    print_row(titles);
  }
  std::ranges::for_each(rows_, print_row);
}

}  // namespace chaos::ctl
