#include "announce/text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/instance.h"

namespace chaos {
namespace {

constexpr std::size_t kScenariosShown = 10;
constexpr std::size_t kTargetBytes = 200;

std::string count_of(std::size_t count, std::string_view rest) {
  return fmt::format("{} scenario{}{}{}", count, count == 1 ? "" : "s", rest.empty() ? "" : " ", rest);
}

std::string printable(std::string text, std::size_t limit) {
  if (text.size() > limit) text = text.substr(0, limit) + "...";
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

// Whole seconds do for people.
std::string readable(WallTime time) {
  const std::string text = format_rfc3339(time);
  return text.substr(0, 10) + " " + text.substr(11, 8) + " UTC";
}

}  // namespace

std::string describe_target(const TargetKeys& target) {
  std::string text;
  for (const auto& [key, values] : target) {
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, fmt::join(values, ","));
  }
  return text;
}

std::string status_text(const AnnouncedById& active) {
  std::set<std::string_view> kinds;
  for (const auto& [id, scenario] : active) kinds.insert(scenario.kind);
  std::string text = count_of(active.size(), "active");
  if (!kinds.empty()) text += fmt::format(" ({})", fmt::join(kinds, ", "));
  return text;
}

std::string start_line(const Scenario& scenario) {
  const ScenarioRequest& request = scenario.request;
  return fmt::format("Scenario {} starts: {} on {}{}{}, by {}{}", scenario.id, request.kind,
                     describe_target(request.target), request.mode == Mode::kShadow ? " (shadow)" : "",
                     scenario.ends_at ? " until " + readable(*scenario.ends_at) : "", scenario.owner.user,
                     request.reason.empty() ? "" : ": " + request.reason);
}

std::string end_line(const Scenario& scenario) {
  return fmt::format("Scenario {} has ended: {} on {}: {} ({})", scenario.id, scenario.request.kind,
                     describe_target(scenario.request.target), to_string(scenario.state),
                     to_string(scenario.end_reason));
}

std::string emergency_line(std::string_view reason, std::size_t ended) {
  return fmt::format("EMERGENCY STOP ({}): {} ended; nothing starts until re-armed", reason, count_of(ended, ""));
}

std::string motd_text(const AnnouncedById& active, std::string_view instance, std::string_view chaosctl) {
  const bool acts = !std::ranges::all_of(active, [](const auto& entry) { return entry.second.shadow; });
  const std::string name = instance == kDefaultInstance ? "chaosd" : fmt::format("chaosd ({})", instance);
  std::string text =
      acts ? fmt::format("*** {} is breaking this host on purpose: {} ***\n", name, count_of(active.size(), "active"))
           : fmt::format("*** {} is watching what it would break here: {} in shadow mode, nothing is broken ***\n",
                         name, count_of(active.size(), ""));
  std::size_t shown = 0;
  for (const auto& [id, scenario] : active) {
    if (++shown > kScenariosShown) {
      text += fmt::format("  and {} more\n", active.size() - kScenariosShown);
      break;
    }
    text += fmt::format("  {} on {}{}{}\n", printable(scenario.kind, kTargetBytes),
                        printable(scenario.target, kTargetBytes),
                        scenario.ends_at ? " until " + readable(*scenario.ends_at) : "",
                        acts && scenario.shadow ? " (shadow: counts, does not act)" : "");
  }
  return text + fmt::format("See `{0} list`; `{0} emergency-stop` ends all of it at once.\n", chaosctl);
}

}  // namespace chaos
