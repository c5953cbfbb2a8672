// Journal: structured records in journald (systemd.journal-fields(7)) of what chaosd does to the host. Never waits;
// loop thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/journal.h"
#include "plan/scenario.h"

namespace chaos {

// Fixed for ever; chaosd(8) documents them.
inline constexpr std::string_view kStartMessage = "bb1c611f850b4e6f9e3f03892263dbfb";
inline constexpr std::string_view kEndMessage = "3578cec5914f48adaf72104aa22af5c5";
inline constexpr std::string_view kEmergencyMessage = "6e4815f4b6344c7cba32028a96895165";

class Journal {
 public:
  explicit Journal(std::string_view instance);

  /// A record that journald does not take at once is lost; that is logged once.
  void start(const Scenario& scenario);
  void end(const Scenario& scenario);
  void emergency_stop(std::string_view reason, std::span<const std::string> ids);

 private:
  using Fields = std::vector<JournalField>;
  [[nodiscard]] static Fields fields_of(const Scenario& scenario, std::string_view message_id, std::string line);
  void send(Fields fields);

  std::string instance_;
  bool told_ = false;
  std::optional<JournalSocket> socket_;  ///< opened for the first record
};

}  // namespace chaos
