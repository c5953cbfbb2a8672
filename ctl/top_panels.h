// The panels of chaosctl top, each as many lines as it is given. Pure functions.
#pragma once

#include <vector>

#include "ctl/top_text.h"
#include "ctl/top_view.h"

namespace chaos::ctl {

/// What all panels are drawn with.
struct TopPlace {
  std::size_t width = 80;
  TopGlyphs glyphs;
};

/// One line: who answers, for how long, armed or not.
[[nodiscard]] TopLine header_line(const TopModel& model, const TopView& view, TopPlace place);
/// CPU, memory, pressure, network, disk, TCP; beside it, where there is room, the past and the single devices.
[[nodiscard]] std::vector<TopLine> host_lines(const TopModel& model, TopPlace place);
/// Title, column names and at most `rows` faults, those around the selected one.
[[nodiscard]] std::vector<TopLine> fault_lines(const TopModel& model, const TopView& view, TopPlace place,
                                               std::size_t rows);
[[nodiscard]] std::vector<TopLine> service_lines(const TopModel& model, const TopView& view, TopPlace place,
                                                 std::size_t rows);
[[nodiscard]] std::vector<TopLine> drop_lines(const TopModel& model, const TopView& view, TopPlace place,
                                              std::size_t rows);
/// Everything about one fault; not cut off below.
[[nodiscard]] std::vector<TopLine> detail_lines(const TopFault& fault, WallTime now, TopPlace place);
[[nodiscard]] std::vector<TopLine> help_lines(TopPlace place);

/// "4m 12s", "over", "-" of one that has no end yet.
[[nodiscard]] std::string left_text(const TopFault& fault, WallTime now);

}  // namespace chaos::ctl
