// TopView: what the user of chaosctl top has chosen to see, and what a key does to it. Values and pure functions; one
// thread.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "ctl/text.h"
#include "ctl/top_model.h"

namespace chaos::ctl {

enum class TopPanel { kHost, kFaults, kServices, kDrops };
inline constexpr std::size_t kTopPanels = 4;

enum class TopOverlay { kNone, kHelp, kDetails };
/// What the next key confirms.
enum class TopQuestion { kNone, kStop, kEmergencyStop };

struct TopNotice {
  std::string text;
  Colour colour = Colour::kNone;
  std::optional<WallTime> until;  ///< unset: until it is replaced
};

struct TopView {
  std::array<bool, kTopPanels> shown{true, true, true, true};
  TopPanel focus = TopPanel::kFaults;
  std::array<std::size_t, kTopPanels> sorted{};  ///< by which of sort_names()
  std::array<std::string, kTopPanels> selected;  ///< name or id of the selected row; empty: the first
  TopOverlay overlay = TopOverlay::kNone;
  std::size_t scroll = 0;  ///< of the overlay
  TopQuestion question = TopQuestion::kNone;
  std::string asked_about;  ///< the scenario that a question is about
  bool paused = false;
  bool drops = false;
  std::chrono::milliseconds interval{1000};
  TopNotice notice;
  bool batch = false;  ///< printed, not shown: no keys, nothing cut off below

  [[nodiscard]] bool shows(TopPanel panel) const { return shown[static_cast<std::size_t>(panel)]; }
};

struct TopKey {
  enum class Kind { kText, kUp, kDown, kPageUp, kPageDown, kHome, kEnd, kEnter, kEscape, kTab, kOther };
  Kind kind = Kind::kOther;
  char text = 0;  ///< of kText: an ASCII character
};

/// What is left to do after a key.
struct TopIntent {
  enum class Kind { kNone, kQuit, kStop, kEmergencyStop, kAskAnew, kRedraw };
  Kind kind = Kind::kNone;
  std::string id{};  ///< of the scenario to stop
};

/// kAskAnew: what is asked, or how often, has changed.
[[nodiscard]] TopIntent press(TopView& view, const TopModel& model, TopKey key);

/// What a panel can be sorted by; the first is how it comes.
[[nodiscard]] const std::vector<std::string>& sort_names(TopPanel panel);

/// In the order of the view.
[[nodiscard]] std::vector<const TopFault*> sorted_faults(const TopModel& model, const TopView& view);
[[nodiscard]] std::vector<const TopService*> sorted_services(const TopModel& model, const TopView& view);
[[nodiscard]] std::vector<const TopDrop*> sorted_drops(const TopModel& model, const TopView& view);
/// What the selection calls a row of drops: a reason may be there twice, injected and natural.
[[nodiscard]] std::string drop_row(const TopDrop& drop);
/// Null if there is none. A selected one that has gone leaves the first.
[[nodiscard]] const TopFault* selected_fault(const TopModel& model, const TopView& view);

}  // namespace chaos::ctl
