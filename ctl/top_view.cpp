#include "ctl/top_view.h"

#include <algorithm>

namespace chaos::ctl {
namespace {

using std::chrono::milliseconds;

constexpr std::array<milliseconds, 9> kIntervals{milliseconds(250),    milliseconds(500),    milliseconds(1000),
                                                 milliseconds(2000),   milliseconds(5000),   milliseconds(10'000),
                                                 milliseconds(20'000), milliseconds(30'000), milliseconds(60'000)};
constexpr std::size_t kPage = 10;

std::size_t index_of(TopPanel panel) { return static_cast<std::size_t>(panel); }

std::size_t sort_of(const TopView& view, TopPanel panel) { return view.sorted[index_of(panel)]; }

/// The names of the focused panel's rows, in their order.
std::vector<std::string> rows_of(const TopModel& model, const TopView& view) {
  std::vector<std::string> rows;
  if (view.focus == TopPanel::kFaults) {
    for (const TopFault* fault : sorted_faults(model, view)) rows.push_back(fault->id);
  } else if (view.focus == TopPanel::kServices) {
    for (const TopService* service : sorted_services(model, view)) rows.push_back(service->name);
  } else if (view.focus == TopPanel::kDrops) {
    for (const TopDrop* drop : sorted_drops(model, view)) rows.push_back(drop_row(*drop));
  }
  return rows;
}

void move_selection(TopView& view, const TopModel& model, std::ptrdiff_t by) {
  const auto rows = rows_of(model, view);
  if (rows.empty()) return;
  std::string& selected = view.selected[index_of(view.focus)];
  const auto found = std::ranges::find(rows, selected);
  const std::ptrdiff_t at = found == rows.end() ? 0 : found - rows.begin();
  const std::ptrdiff_t to = std::clamp<std::ptrdiff_t>(at + by, 0, static_cast<std::ptrdiff_t>(rows.size()) - 1);
  selected = rows[static_cast<std::size_t>(to)];
}

void move_or_scroll(TopView& view, const TopModel& model, std::ptrdiff_t by) {
  if (view.overlay == TopOverlay::kNone) return move_selection(view, model, by);
  // The layout bounds it from above.
  const std::ptrdiff_t to = static_cast<std::ptrdiff_t>(view.scroll) + by;
  view.scroll = static_cast<std::size_t>(std::max<std::ptrdiff_t>(to, 0));
}

void focus_next(TopView& view) {
  for (std::size_t step = 1; step <= kTopPanels; ++step) {
    const auto next = static_cast<TopPanel>((index_of(view.focus) + step) % kTopPanels);
    if (next == TopPanel::kHost || !view.shows(next)) continue;
    view.focus = next;
    return;
  }
}

void change_interval(TopView& view, bool longer) {
  const auto at = std::ranges::lower_bound(kIntervals, view.interval);
  if (longer) {
    const auto next = at != kIntervals.end() && *at == view.interval ? at + 1 : at;
    if (next != kIntervals.end()) view.interval = *next;
  } else if (at != kIntervals.begin()) {
    view.interval = *(at - 1);
  }
}

void toggle_panel(TopView& view, std::size_t index) {
  view.shown[index] = !view.shown[index];
  if (!view.shows(view.focus)) focus_next(view);
}

void toggle_overlay(TopView& view, TopOverlay overlay) {
  view.overlay = view.overlay == overlay ? TopOverlay::kNone : overlay;
  view.scroll = 0;
}

void ask_to_stop(TopView& view, const TopModel& model) {
  const TopFault* fault = selected_fault(model, view);
  if (fault == nullptr) {
    view.notice = {"there is no fault to stop", Colour::kYellow, model.time + std::chrono::seconds(5)};
    return;
  }
  view.question = TopQuestion::kStop;
  view.asked_about = fault->id;
}

TopIntent answer(TopView& view, TopKey key) {
  const TopQuestion question = view.question;
  view.question = TopQuestion::kNone;
  if (key.kind != TopKey::Kind::kText || (key.text != 'y' && key.text != 'Y')) {
    view.notice = {"not stopped", Colour::kNone, std::nullopt};
    return {};
  }
  if (question == TopQuestion::kStop) return {TopIntent::Kind::kStop, view.asked_about};
  return {TopIntent::Kind::kEmergencyStop};
}

TopIntent press_letter(TopView& view, const TopModel& model, char letter) {
  switch (letter) {
    case 'q':
      return {TopIntent::Kind::kQuit};
    case 'h':
    case '?':
      toggle_overlay(view, TopOverlay::kHelp);
      break;
    case 'p':
    case ' ':
      view.paused = !view.paused;
      return {TopIntent::Kind::kAskAnew};
    case 'k':
      move_or_scroll(view, model, -1);
      break;
    case 'j':
      move_or_scroll(view, model, 1);
      break;
    case 's': {
      std::size_t& sorted = view.sorted[index_of(view.focus)];
      sorted = (sorted + 1) % sort_names(view.focus).size();
      break;
    }
    case 'x':
      ask_to_stop(view, model);
      break;
    case 'E':
      view.question = TopQuestion::kEmergencyStop;
      break;
    case 'd':
      view.drops = !view.drops;
      if (view.drops) view.shown[index_of(TopPanel::kDrops)] = true;
      return {TopIntent::Kind::kAskAnew};
    case '+':
    case '-':
      change_interval(view, letter == '+');
      return {TopIntent::Kind::kAskAnew};
    case '1':
    case '2':
    case '3':
    case '4':
      toggle_panel(view, static_cast<std::size_t>(letter - '1'));
      break;
    case '\f':
      return {TopIntent::Kind::kRedraw};
    default:
      break;
  }
  return {};
}

}  // namespace

TopIntent press(TopView& view, const TopModel& model, TopKey key) {
  using Kind = TopKey::Kind;
  if (view.question != TopQuestion::kNone) return answer(view, key);
  switch (key.kind) {
    case Kind::kText:
      return press_letter(view, model, key.text);
    case Kind::kUp:
      move_or_scroll(view, model, -1);
      break;
    case Kind::kDown:
      move_or_scroll(view, model, 1);
      break;
    case Kind::kPageUp:
      move_or_scroll(view, model, -static_cast<std::ptrdiff_t>(kPage));
      break;
    case Kind::kPageDown:
      move_or_scroll(view, model, kPage);
      break;
    case Kind::kHome:
      move_or_scroll(view, model, -100'000);
      break;
    case Kind::kEnd:
      move_or_scroll(view, model, 100'000);
      break;
    case Kind::kEnter:
      if (selected_fault(model, view) != nullptr) toggle_overlay(view, TopOverlay::kDetails);
      break;
    case Kind::kEscape:
      view.overlay = TopOverlay::kNone;
      view.notice = {};
      break;
    case Kind::kTab:
      focus_next(view);
      break;
    case Kind::kOther:
      break;
  }
  return {};
}

const std::vector<std::string>& sort_names(TopPanel panel) {
  static const std::array<std::vector<std::string>, kTopPanels> kNames{
      {{"name"},
       {"newest", "injected", "rate", "time left", "kind"},
       {"configured", "health", "CPU", "memory", "name"},
       {"count", "rate", "reason"}}};
  return kNames[index_of(panel)];
}

std::vector<const TopFault*> sorted_faults(const TopModel& model, const TopView& view) {
  std::vector<const TopFault*> faults;
  for (const TopFault& fault : model.faults) faults.push_back(&fault);
  const std::string& by = sort_names(TopPanel::kFaults)[sort_of(view, TopPanel::kFaults)];
  const auto sort = [&](auto key) { std::ranges::stable_sort(faults, {}, key); };
  if (by == "injected") sort([](const TopFault* fault) { return -static_cast<double>(fault->injected); });
  if (by == "rate") sort([](const TopFault* fault) { return -fault->injected_rate.value_or(-1); });
  if (by == "time left") sort([](const TopFault* fault) { return fault->ends_at.value_or(WallTime::max()); });
  if (by == "kind") sort([](const TopFault* fault) { return fault->kind; });
  return faults;
}

std::vector<const TopService*> sorted_services(const TopModel& model, const TopView& view) {
  std::vector<const TopService*> services;
  for (const TopService& service : model.services) services.push_back(&service);
  const std::string& by = sort_names(TopPanel::kServices)[sort_of(view, TopPanel::kServices)];
  const auto sort = [&](auto key) { std::ranges::stable_sort(services, {}, key); };
  // What is wrong first.
  if (by == "health") {
    sort([](const TopService* one) { return one->health == "unhealthy" ? 0 : !one->running ? 1 : 2; });
  }
  if (by == "CPU") sort([](const TopService* one) { return -one->cpu.value_or(-1); });
  if (by == "memory") sort([](const TopService* one) { return -one->memory.value_or(-1); });
  if (by == "name") sort([](const TopService* one) { return one->name; });
  return services;
}

std::vector<const TopDrop*> sorted_drops(const TopModel& model, const TopView& view) {
  std::vector<const TopDrop*> drops;
  for (const TopDrop& drop : model.drops.reasons) drops.push_back(&drop);
  const std::string& by = sort_names(TopPanel::kDrops)[sort_of(view, TopPanel::kDrops)];
  const auto sort = [&](auto key) { std::ranges::stable_sort(drops, {}, key); };
  if (by == "count") sort([](const TopDrop* drop) { return -static_cast<double>(drop->count); });
  if (by == "rate") sort([](const TopDrop* drop) { return -drop->rate.value_or(-1); });
  if (by == "reason") sort([](const TopDrop* drop) { return drop->reason; });
  return drops;
}

std::string drop_row(const TopDrop& drop) { return (drop.injected ? "injected " : "natural ") + drop.reason; }

const TopFault* selected_fault(const TopModel& model, const TopView& view) {
  const auto faults = sorted_faults(model, view);
  const auto found = std::ranges::find(faults, view.selected[index_of(TopPanel::kFaults)],
                                       [](const TopFault* fault) { return fault->id; });
  if (found != faults.end()) return *found;
  return faults.empty() ? nullptr : faults.front();
}

}  // namespace chaos::ctl
