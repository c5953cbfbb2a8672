#include "ctl/top_panels.h"

#include <algorithm>

#include <fmt/format.h>

#include "ctl/json_text.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

/// The bar above a panel: name, figures, by what it is sorted if it has the focus.
TopLine title_line(std::string_view name, std::string_view figures, TopPanel panel, const TopView& view,
                   TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  const bool focused = view.focus == panel && !view.batch;
  line.add(fmt::format("{} {}", focused ? ">" : " ", name), Colour::kBold);
  line.field("", figures);
  if (focused) line.at_end("by " + sort_names(panel)[view.sorted[static_cast<std::size_t>(panel)]] + " ");
  return line.reversed();
}

TopLine plain_line(std::string_view text, Colour colour, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add("  ").add(text, colour);
  return line.line();
}

/// Of `count` rows those `room` that hold `selected`: where they begin.
std::size_t first_shown(std::size_t count, std::size_t selected, std::size_t room) {
  if (count <= room || selected < room / 2) return 0;
  return std::min(selected - room / 2, count - room);
}

/// `title`, then the rows that fit; what does not fit is told in the title's place of the last one.
std::vector<TopLine> list_lines(TopLine title, const std::vector<TopColumn>& columns, const std::vector<TopRow>& rows,
                                TopPlace place, std::size_t room) {
  const auto chosen = std::ranges::find(rows, true, &TopRow::selected);
  const std::size_t selected = chosen == rows.end() ? 0 : static_cast<std::size_t>(chosen - rows.begin());
  const std::size_t first = first_shown(rows.size(), selected, room);
  const std::vector<TopLine> table = table_lines(columns, rows, place.width, place.glyphs);
  std::vector<TopLine> lines{std::move(title), table.front()};
  const auto begin = table.begin() + 1 + static_cast<std::ptrdiff_t>(first);
  lines.insert(lines.end(), begin, begin + static_cast<std::ptrdiff_t>(std::min(room, rows.size() - first)));
  return lines;
}

Colour fault_colour(const TopFault& fault) {
  if (fault.active && fault.matched == 0) return Colour::kYellow;  // acts on nothing so far
  return state_colour(text_of(fault.record, "state"));
}

std::string count_text(std::uint64_t count, std::size_t width) {
  // Exact where there is room.
  return width >= 120 ? std::to_string(count) : number_text(static_cast<double>(count));
}

constexpr std::size_t kNamed = 120;  // narrower, values that are measured stand without their names

TopRow fault_row(const TopFault& fault, bool selected, WallTime now, std::size_t width) {
  std::string state = fault.state;
  if (fault.shadow) state += " shadow";
  const bool named = width >= kNamed;
  return {{{state, fault_colour(fault)},
           {fault.kind},
           {fault.target},
           {fault.severity.empty() ? "-" : fault.severity},
           {named ? fault.requested : fault.requested_values},
           {named ? fault.achieved : fault.achieved_values},
           {count_text(fault.matched, width), fault.active && fault.matched == 0 ? Colour::kYellow : Colour::kNone},
           {count_text(fault.injected, width)},
           {number_text(fault.injected_rate)},
           {left_text(fault, now)},
           {fault.id}},
          selected};
}

std::string faults_figures(const TopModel& model) {
  std::size_t active = 0;
  std::size_t queued = 0;
  for (const TopFault& fault : model.faults) {
    active += fault.active ? 1 : 0;
    queued += fault.state.starts_with("queued") ? 1 : 0;
  }
  std::string text = fmt::format("{} active, {} queued", active, queued);
  if (const std::size_t ending = model.faults.size() - active - queued; ending > 0) {
    text += fmt::format(", {} ending", ending);
  }
  return text;
}

/// What its probe found; without one, whether it runs.
bool is_well(const TopService& service) {
  return service.health.empty() ? service.running : service.health != "unhealthy";
}

Colour health_colour(const TopService& service) {
  if (!is_well(service)) return Colour::kRed;
  return service.health == "healthy" ? Colour::kGreen : Colour::kNone;
}

std::string services_figures(const TopModel& model) {
  const auto wrong = std::ranges::count_if(model.services, [](const TopService& one) { return !is_well(one); });
  if (model.services.empty()) return "";
  return wrong == 0 ? fmt::format("{}, all well", model.services.size())
                    : fmt::format("{}, {} not well", model.services.size(), wrong);
}

std::string span_figures(double seconds) {
  return span_text(std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000)));
}

std::string drops_figures(const TopDrops& drops) {
  if (drops.state != TopDrops::State::kShown) return "";
  return fmt::format("{} injected, {} natural in {}", number_text(static_cast<double>(drops.injected)),
                     number_text(static_cast<double>(drops.natural)), span_figures(drops.seconds));
}

std::string milliseconds_text(TopNumber us) {
  if (!us) return "-";
  return fmt::format("{:.3g}", *us / 1000);
}

TopLine tcp_figures(const TopDrops& drops, TopPlace place) {
  if (!drops.tcp) return plain_line("TCP: " + drops.tcp_refusal, Colour::kYellow, place);
  TopLineMaker line(place.width, place.glyphs);
  const auto count = [](std::uint64_t value) { return number_text(static_cast<double>(value)); };
  const bool any = drops.retransmit_rate.value_or(0) > 0;
  line.add("  ").add("retransmits", Colour::kDim).add(" ");
  line.add(fmt::format("{} ({}/s)", count(drops.retransmits), number_text(drops.retransmit_rate)),
           any ? Colour::kYellow : Colour::kNone);
  line.field("SYN", count(drops.syn_retransmits));
  line.field("RST out/in", fmt::format("{}/{}", count(drops.resets_sent), count(drops.resets_received)));
  line.field("RTT p50/p99",
             fmt::format("{}/{}ms", milliseconds_text(drops.rtt_p50_us), milliseconds_text(drops.rtt_p99_us)));
  if (drops.oom_kills > 0) line.field("OOM kills", count(drops.oom_kills), Colour::kRed);
  return line.line();
}

}  // namespace

std::string left_text(const TopFault& fault, WallTime now) {
  if (!fault.ends_at) return "-";
  const auto left = *fault.ends_at - now;
  if (left <= left.zero()) return "over";
  return span_text(std::chrono::ceil<std::chrono::seconds>(left));
}

std::vector<TopLine> fault_lines(const TopModel& model, const TopView& view, TopPlace place, std::size_t rows) {
  TopLine title = title_line("Faults", faults_figures(model), TopPanel::kFaults, view, place);
  if (model.faults.empty()) {
    return {std::move(title), plain_line("none is active or queued", Colour::kDim, place)};
  }
  const TopFault* selected = view.batch ? nullptr : selected_fault(model, view);
  std::vector<TopRow> table;
  for (const TopFault* fault : sorted_faults(model, view)) {
    table.push_back(fault_row(*fault, fault == selected, model.time, place.width));
  }
  return list_lines(std::move(title),
                    {{"STATE", false, 6, 18},
                     {"KIND", false, 11, 20},
                     {"TARGET", false, 16, 60},
                     {"SEV", true, 3, 3, 3},
                     {"REQUESTED", false, 9, 60, 1},
                     {"ACHIEVED", false, 8, 60, 1},
                     {"MATCHED", true, 7, 20, 4},
                     {"INJECTED", true, 8},
                     {"/S", true, 4, 8, 2},
                     {"LEFT", true, 6},
                     {"ID", false, 26, 26, 5}},
                    table, place, rows);
}

std::vector<TopLine> service_lines(const TopModel& model, const TopView& view, TopPlace place, std::size_t rows) {
  TopLine title = title_line("Services", services_figures(model), TopPanel::kServices, view, place);
  if (model.services.empty()) {
    return {std::move(title), plain_line("none is configured: see services in chaosd.yaml(5)", Colour::kDim, place)};
  }
  const std::string& selected = view.selected[static_cast<std::size_t>(TopPanel::kServices)];
  std::vector<TopRow> table;
  for (const TopService* service : sorted_services(model, view)) {
    const std::string state = service->health.empty() ? service->running ? "running" : "not running" : service->health;
    const std::string age =
        service->since ? span_text(std::max(std::chrono::floor<std::chrono::seconds>(model.time - *service->since),
                                            std::chrono::seconds(0)))
                       : "";
    table.push_back({{{service->name},
                      {state, health_colour(*service)},
                      {age},
                      {service->cpu ? percent_text(service->cpu) : "-"},
                      {bytes_text(service->memory)},
                      {std::to_string(service->processes), service->running ? Colour::kNone : Colour::kYellow},
                      {service->touched_by == 0 ? "" : std::to_string(service->touched_by), Colour::kYellow},
                      {service->reason, Colour::kYellow}},
                     !view.batch && view.focus == TopPanel::kServices && service->name == selected});
  }
  return list_lines(std::move(title),
                    {{"SERVICE", false, 8, 40},
                     {"STATE", false, 9, 12},
                     {"FOR", false, 4, 8, 4},
                     {"CPU", true, 5, 8, 2},
                     {"MEM", true, 4, 8, 2},
                     {"PROC", true, 4, 6, 3},
                     {"HIT", true, 3, 4, 1},
                     {"REASON", false, 6}},
                    table, place, rows);
}

std::vector<TopLine> drop_lines(const TopModel& model, const TopView& view, TopPlace place, std::size_t rows) {
  const TopDrops& drops = model.drops;
  TopLine title = title_line("Drops by reason", drops_figures(drops), TopPanel::kDrops, view, place);
  if (drops.state != TopDrops::State::kShown) {
    const bool asked = view.drops;
    const bool refused = drops.state == TopDrops::State::kRefused;
    const std::string text = refused      ? drops.refusal
                             : asked      ? "asked for; the first counts come with the next answer"
                             : view.batch ? "not asked for: --drops attaches the eBPF programs that count them"
                                          : "not asked for: d attaches the eBPF programs that count them";
    return {std::move(title), plain_line(text, refused ? Colour::kYellow : Colour::kDim, place)};
  }
  TopLine tcp = tcp_figures(drops, place);
  if (drops.reasons.empty()) {
    return {std::move(title), std::move(tcp), plain_line("the kernel has dropped nothing since", Colour::kDim, place)};
  }
  const std::string& selected = view.selected[static_cast<std::size_t>(TopPanel::kDrops)];
  std::vector<TopRow> table;
  for (const TopDrop* drop : sorted_drops(model, view)) {
    table.push_back({{{drop->reason},
                      {drop->injected ? "injected" : "natural", drop->injected ? Colour::kYellow : Colour::kNone},
                      {count_text(drop->count, place.width)},
                      {number_text(drop->rate), drop->rate.value_or(0) > 0 ? Colour::kBold : Colour::kDim}},
                     !view.batch && view.focus == TopPanel::kDrops && drop_row(*drop) == selected});
  }
  std::vector<TopLine> lines = list_lines(
      std::move(title), {{"REASON", false, 10, 40}, {"ORIGIN", false, 8, 8, 1}, {"COUNT", true, 5}, {"/S", true, 4}},
      table, place, rows > 0 ? rows - 1 : 0);
  lines.insert(lines.begin() + 1, std::move(tcp));
  return lines;
}

}  // namespace chaos::ctl
