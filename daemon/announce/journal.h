// Journal: structured records in journald (systemd.journal-fields(7)) of what chaosd does to the host. sd_journal_sendv
// waits while journald does not read, so a thread of its own sends; the callers' thread never waits.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/worker.h"
#include "plan/scenario.h"

namespace chaos {

// Fixed for ever; chaosd(8) documents them.
inline constexpr std::string_view kStartMessage = "bb1c611f850b4e6f9e3f03892263dbfb";
inline constexpr std::string_view kEndMessage = "3578cec5914f48adaf72104aa22af5c5";
inline constexpr std::string_view kEmergencyMessage = "6e4815f4b6344c7cba32028a96895165";

class Journal {
 public:
  explicit Journal(std::string_view instance);

  /// Records are sent in order. When journald is so far behind that 256 wait, further ones are dropped and that is
  /// logged once. Loop thread.
  void start(const Scenario& scenario);
  void end(const Scenario& scenario);
  void emergency_stop(std::string_view reason, std::span<const std::string> ids);

 private:
  using Fields = std::vector<std::string>;
  [[nodiscard]] Fields fields_of(const Scenario& scenario, std::string_view message_id, std::string line) const;
  void send(Fields fields);

  std::string instance_;
  bool told_ = false;
  std::optional<Worker> worker_;  ///< made for the first record
};

}  // namespace chaos
