// What chaosctl top shows instead of its panels: the details of one fault, and the keys.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "ctl/json_text.h"
#include "ctl/scenario_view.h"
#include "ctl/top_panels.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kLabel = 18;

/// Label and value; a long value goes on below itself.
class Page {
 public:
  explicit Page(TopPlace place) : place_(place) {}

  void title(std::string_view text) {
    TopLineMaker line(place_.width, place_.glyphs);
    line.add(" ").add(text, Colour::kBold);
    lines_.push_back(line.reversed());
  }
  void line(std::string_view label, std::string_view value, Colour colour = Colour::kNone) {
    if (value.empty()) return;
    std::string rest = cell_text(value, place_.glyphs.unicode);
    const std::size_t room = place_.width > kLabel + 8 ? place_.width - kLabel : place_.width;
    do {
      const std::string head = display_width(rest) <= room ? rest : head_of(rest, room);
      TopLineMaker made(place_.width, place_.glyphs);
      made.add(label, Colour::kDim);
      made.pad_to(place_.width - room).add(head, colour);
      lines_.push_back(made.line());
      rest.erase(0, head.size());
      rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
      label = {};
    } while (!rest.empty());
  }
  void list(std::string_view label, const Json& items, Colour colour = Colour::kNone) {
    for (const Json& item : items) {
      line(label, text_of(item), colour);
      label = {};
    }
  }
  [[nodiscard]] std::vector<TopLine> lines() { return std::move(lines_); }

 private:
  /// What of `text` fits into `room` columns, at least one character: whole words, or of a longer one what ends where
  /// something new begins in it, if anything does.
  [[nodiscard]] std::string head_of(const std::string& text, std::size_t room) const {
    std::string cut = cut_to(text, room, place_.glyphs.unicode);
    const std::size_t mark = place_.glyphs.unicode ? std::string_view("…").size() : 1;
    cut.resize(cut.size() > mark ? cut.size() - mark : 0);
    if (cut.empty()) return text;
    if (text[cut.size()] == ' ') return cut;
    if (const std::size_t blank = cut.rfind(' '); blank != std::string::npos && blank > 0) return cut.substr(0, blank);
    const std::size_t end = cut.find_last_of("/,;=");
    return end == std::string::npos || end == 0 ? cut : cut.substr(0, end + 1);
  }

  TopPlace place_;
  std::vector<TopLine> lines_;
};

void add_times(Page& page, const Json& scenario, WallTime now) {
  for (const auto& [key, label] : std::array<std::pair<const char*, const char*>, 4>{{{"expected_start_at", "starts"},
                                                                                      {"created_at", "created"},
                                                                                      {"started_at", "started"},
                                                                                      {"ends_at", "ends"}}}) {
    const std::string text = text_of(scenario, key);
    const auto time = parse_rfc3339(text);
    page.line(label, time ? fmt::format("{} ({})", text, relative_time(*time, now)) : text);
  }
}

void add_counters(Page& page, const Json& counters) {
  if (!counters.is_object() || counters.empty()) return;
  page.title("Counters");
  for (const char* key : {"evaluated", "unmatched", "matched", "injected", "shadowed", "not_sampled",
                          "spared_protected", "spared_budget", "spared_expired", "over_limit"}) {
    page.line(key, std::to_string(number_at(counters, key)));
  }
  for (const char* key : {"matched_segments", "injected_segments", "injected_jointly"}) {
    if (number_at(counters, key) > 0) page.line(key, std::to_string(number_at(counters, key)));
  }
  for (const std::string& sum : open_sums(counters)) page.line("does not close", sum, Colour::kRed);
}

}  // namespace

std::vector<TopLine> detail_lines(const TopFault& fault, WallTime now, TopPlace place) {
  const Json& scenario = fault.record;
  const Json& plan = member(scenario, "plan");
  const Json& owner = member(scenario, "owner");
  Page page(place);
  page.title(fmt::format("{}  {}", fault.kind, fault.id));
  page.line("state", state_text(scenario), state_colour(text_of(scenario, "state")));
  page.line("mode", fault.shadow ? "shadow: decides and counts, does not act" : "");
  page.line("target", fault.target);
  page.line("severity", fault.severity);
  page.line("requested", fault.requested);
  page.line("achieved", fault.achieved);
  page.line("injected", fmt::format("{} ({}/s)", fault.injected, number_text(fault.injected_rate)));
  page.line("left", left_text(fault, now));
  page.list("warning", list_at(scenario, "warnings"), Colour::kYellow);
  if (fault.active && fault.matched == 0 && fault.warnings.empty()) {
    page.line("warning", fmt::format("nothing has matched so far ({} evaluated)", fault.evaluated), Colour::kYellow);
  }
  page.line("error", text_of(scenario, "error"), Colour::kRed);
  page.line("reason", text_of(scenario, "reason"));
  page.line("owner",
            fmt::format("{} (uid {}) by {}", text_of(owner, "user"), text_of(owner, "uid"), text_of(owner, "comm")));
  page.line("seed", text_of(scenario, "seed"));
  page.line("duration", text_of(scenario, "duration"));
  add_times(page, scenario, now);
  page.list("interfaces", list_at(plan, "interfaces"));
  page.list("touches", list_at(plan, "touches"));
  page.line("blast radius", text_of(plan, "blast_radius"));
  page.list("cgroups", list_at(plan, "cgroups"));
  page.list("processes", list_at(plan, "processes"));
  page.list("peers", list_at(plan, "peers"));
  page.line("mechanism", text_of(plan, "mechanism"));
  page.list("note", list_at(plan, "notes"));
  add_counters(page, member(scenario, "counters"));
  return page.lines();
}

std::vector<TopLine> help_lines(TopPlace place) {
  Page page(place);
  page.title("Keys");
  page.line("q, Ctrl-C", "quit; faults run on");
  page.line("h, ?", "this help; Esc closes it");
  page.line("p, blank", "pause: nothing is asked, the screen stays");
  page.line("+, -", "longer, shorter interval");
  page.line("Tab", "next panel; its title has the mark >");
  page.line("up, down, j, k", "select a row, or scroll; PgUp, PgDn, Home, End as well");
  page.line("s", "sort the panel by something else");
  page.line("1, 2, 3, 4", "show or hide host, faults, services, drops");
  page.line("Enter", "details of the selected fault");
  page.line("x", "stop the selected fault, after y");
  page.line("E", "emergency stop, after y: ends all faults and latches", Colour::kRed);
  page.line("d", "count drops, retransmits and round trips by eBPF, or no more");
  page.line("Ctrl-L, Ctrl-Z", "draw anew; suspend");
  page.title("What is shown");
  page.line("CPU", "us user and nice, sy system, wa waiting for I/O, irq interrupts, steal taken by the hypervisor");
  page.line("PSI", "share of time in which some task waited for a resource, and in which all did (stalled)");
  page.line("lost",
            "packets dropped or bad, by interface; queues full: dropped by listeners, softnet, qdiscs, UDP buffers");
  page.line("REQUESTED", "the parameters that act, those first that ACHIEVED measures");
  page.line("yellow MATCHED", "active, and nothing has met the target so far");
  page.line("HIT", "how many active faults touch the service");
  page.line("injected, natural", "dropped by a fault of this chaosd, or by the kernel for its own reasons");
  return page.lines();
}

}  // namespace chaos::ctl
