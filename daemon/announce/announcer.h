// Announcer: tells people who look at the host, or whom the configuration names, that chaosd is breaking it on purpose:
// journald records, the message of the day, webhooks. A scenario starts for them when it has become active, and ends
// with its final state; one that never acted is not announced. Loop thread; nothing here waits but the destructor.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "announce/journal.h"
#include "announce/motd.h"
#include "announce/text.h"
#include "announce/webhooks.h"
#include "config/config.h"
#include "plan/scenario.h"

namespace chaos {

class Announcer {
 public:
  struct Place {
    std::string instance;
    std::filesystem::path runtime_dir;
    std::filesystem::path socket;  ///< told to users of another instance than the default one
    std::filesystem::path motd_dir = "/run/motd.d";
  };
  /// Removes the message of the day that a dead predecessor left.
  explicit Announcer(Place place);
  /// Waits for journald and, up to 3 s, for pending webhooks.
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  void configure(const std::vector<Webhook>& webhooks, bool journald);
  /// On every change of a scenario's record.
  void on_change(const Scenario& scenario);
  void emergency_stop(std::string_view reason, std::span<const std::string> ids);

  /// "2 scenarios active (latency_injection, packet_loss)"
  [[nodiscard]] std::string status() const { return status_text(active_); }
  /// Empty if none is configured.
  [[nodiscard]] std::optional<WebhookCounts> webhook_counts() const;

 private:
  void show_motd();
  void post(std::string_view event, nlohmann::json body);

  const Place place_;
  AnnouncedById active_;
  bool journald_ = false;
  bool motd_told_ = false;
  Journal journal_;
  Motd motd_;
  bool has_webhooks_ = false;
  std::optional<Webhooks> webhooks_;  ///< made when the first one is configured
};

}  // namespace chaos
