// The screen of chaosctl top: a model, what the user chose, and a size become lines. Pure; never more lines than rows,
// none wider than the columns, whatever the daemon has said.
#pragma once

#include <vector>

#include "ctl/top_text.h"
#include "ctl/top_view.h"

namespace chaos::ctl {

struct TopSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};

[[nodiscard]] std::vector<TopLine> lay_out(const TopModel& model, const TopView& view, TopSize size, TopGlyphs glyphs);

}  // namespace chaos::ctl
