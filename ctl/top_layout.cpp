#include "ctl/top_layout.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include <fmt/format.h>

#include "ctl/top_panels.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kLeastColumns = 24;
constexpr std::size_t kLeastRows = 4;
constexpr std::size_t kSideBySide = 150;  // services and drops beside each other
constexpr std::size_t kListHead = 2;      // title and column names
constexpr std::size_t kHostRows = 6;

/// A list and how many rows it has.
struct List {
  TopPanel panel;
  std::size_t wanted;
  std::size_t rows = 0;
};

/// `room` rows among the lists, one each in turn until all are content.
void share_out(std::vector<List>& lists, std::size_t room) {
  for (bool given = true; given && room > 0;) {
    given = false;
    for (List& list : lists) {
      if (list.rows >= list.wanted || room == 0) continue;
      ++list.rows;
      --room;
      given = true;
    }
  }
}

class Composer {
 public:
  Composer(const TopModel& model, const TopView& view, TopSize size, TopGlyphs glyphs)
      : model_(model), view_(view), size_(size), place_{size.columns, glyphs} {}

  std::vector<TopLine> run() {
    if (!view_.batch && (size_.columns < kLeastColumns || size_.rows < kLeastRows)) return too_small();
    lines_.push_back(header_line(model_, view_, place_));
    if (view_.overlay != TopOverlay::kNone && !view_.batch) {
      overlay();
    } else {
      panels();
    }
    return std::move(lines_);
  }

 private:
  std::vector<TopLine> too_small() {
    TopLineMaker line(size_.columns, place_.glyphs);
    line.add("too small; q quits");
    std::vector<TopLine> lines;
    if (size_.rows > 0) lines.push_back(line.line());
    return lines;
  }

  /// Rows that are free above the last line of the screen.
  [[nodiscard]] std::size_t left() const {
    if (view_.batch) return 100'000;
    return size_.rows - 1 - std::min(size_.rows - 1, lines_.size());
  }

  void put(std::vector<TopLine> more) {
    const std::size_t count = std::min(more.size(), left());
    std::move(more.begin(), more.begin() + static_cast<std::ptrdiff_t>(count), std::back_inserter(lines_));
  }

  void finish() {
    if (view_.batch) return;
    while (lines_.size() + 1 < size_.rows) lines_.emplace_back();
    lines_.push_back(footer());
  }

  void overlay() {
    const TopFault* fault = selected_fault(model_, view_);
    std::vector<TopLine> page;
    if (view_.overlay == TopOverlay::kDetails && fault != nullptr) {
      page = detail_lines(*fault, model_.time, place_);
    } else if (view_.overlay == TopOverlay::kDetails) {
      TopLineMaker line(place_.width, place_.glyphs);
      page.push_back(line.add("  the fault has ended: chaosctl show ID has its record", Colour::kYellow).line());
    } else {
      page = help_lines(place_);
    }
    const std::size_t most = page.size() > left() ? page.size() - left() : 0;
    page.erase(page.begin(), page.begin() + static_cast<std::ptrdiff_t>(std::min(view_.scroll, most)));
    put(std::move(page));
    finish();
  }

  [[nodiscard]] std::size_t wanted(TopPanel panel) const {
    if (panel == TopPanel::kFaults) return model_.faults.size();
    if (panel == TopPanel::kServices) return model_.services.size();
    // The figures of TCP are a row as well.
    return model_.drops.state == TopDrops::State::kShown ? model_.drops.reasons.size() + 1 : 0;
  }

  [[nodiscard]] std::vector<TopLine> lines_of(TopPanel panel, TopPlace place, std::size_t rows) const {
    if (panel == TopPanel::kFaults) return fault_lines(model_, view_, place, rows);
    if (panel == TopPanel::kServices) return service_lines(model_, view_, place, rows);
    return drop_lines(model_, view_, place, rows);
  }

  void panels() {
    for (const std::string& problem : model_.problems) {
      TopLineMaker line(place_.width, place_.glyphs);
      put({line.add("  " + problem, Colour::kYellow).line()});
    }
    if (view_.shows(TopPanel::kHost) && left() >= kHostRows + kListHead) put(host_lines(model_, place_));
    const bool both = view_.shows(TopPanel::kServices) && view_.shows(TopPanel::kDrops);
    if (size_.columns >= kSideBySide && both) {
      wide_lists();
    } else {
      stacked_lists();
    }
    finish();
  }

  void stacked_lists() {
    std::vector<List> lists;
    for (const TopPanel panel : {TopPanel::kFaults, TopPanel::kServices, TopPanel::kDrops}) {
      if (view_.shows(panel)) lists.push_back({panel, wanted(panel)});
    }
    const std::size_t heads = lists.size() * kListHead;
    share_out(lists, left() > heads ? left() - heads : 0);
    for (const List& list : lists) put(lines_of(list.panel, place_, list.rows));
  }

  /// Faults above; below them services and drops side by side, and what is free is for the selected fault.
  void wide_lists() {
    std::vector<List> lists;
    if (view_.shows(TopPanel::kFaults)) lists.push_back({TopPanel::kFaults, wanted(TopPanel::kFaults)});
    const std::size_t lower = std::max(wanted(TopPanel::kServices), wanted(TopPanel::kDrops));
    lists.push_back({TopPanel::kServices, lower});
    const std::size_t heads = lists.size() * kListHead;
    share_out(lists, left() > heads ? left() - heads : 0);
    if (lists.size() > 1) put(lines_of(TopPanel::kFaults, place_, lists.front().rows));
    const std::size_t half = (size_.columns - 2) / 2;
    const TopPlace left_place{half, place_.glyphs};
    const TopPlace right_place{size_.columns - half - 2, place_.glyphs};
    put(beside(service_lines(model_, view_, left_place, lists.back().rows),
               drop_lines(model_, view_, right_place, lists.back().rows), half));
    const TopFault* fault = selected_fault(model_, view_);
    constexpr std::size_t kWorthIt = 6;
    if (fault != nullptr && !view_.batch && left() >= kWorthIt) put(detail_lines(*fault, model_.time, place_));
  }

  [[nodiscard]] TopLine footer() const {
    TopLineMaker line(place_.width, place_.glyphs);
    if (view_.question == TopQuestion::kEmergencyStop) {
      line.add("EMERGENCY STOP: end all faults and latch? y: yes, any other key: no", Colour::kRed);
      return line.reversed();
    }
    if (view_.question == TopQuestion::kStop) {
      const auto found = std::ranges::find(model_.faults, view_.asked_about, &TopFault::id);
      const std::string what = found == model_.faults.end() ? "" : found->kind + " on " + found->target + " ";
      line.add(fmt::format("Stop {}? y: yes, any other key: no. {}", view_.asked_about, what), Colour::kYellow);
      return line.reversed();
    }
    const TopNotice& notice = view_.notice;
    if (!notice.text.empty() && (!notice.until || model_.time < *notice.until)) {
      line.add(notice.text, notice.colour);
      return line.line();
    }
    for (const auto& [key, what] :
         std::initializer_list<std::pair<const char*, const char*>>{{"q", "quit"},
                                                                    {"h", "help"},
                                                                    {"Enter", "details"},
                                                                    {"x", "stop"},
                                                                    {"E", "EMERGENCY STOP"},
                                                                    {"d", view_.drops ? "no drops" : "drops"},
                                                                    {"p", view_.paused ? "go on" : "pause"},
                                                                    {"s", "sort"},
                                                                    {"Tab", "panel"},
                                                                    {"+-", "interval"},
                                                                    {"1-4", "show/hide"}}) {
      line.field(key, what);
    }
    return line.line();
  }

  const TopModel& model_;
  const TopView& view_;
  TopSize size_;
  TopPlace place_;
  std::vector<TopLine> lines_;
};

}  // namespace

std::vector<TopLine> lay_out(const TopModel& model, const TopView& view, TopSize size, TopGlyphs glyphs) {
  std::vector<TopLine> lines = Composer(model, view, size, glyphs).run();
  if (!view.batch && lines.size() > size.rows) lines.resize(size.rows);
  return lines;
}

}  // namespace chaos::ctl
