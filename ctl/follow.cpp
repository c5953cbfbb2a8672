#include "ctl/follow.h"

#include "ctl/json_text.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

constexpr std::chrono::milliseconds kRefresh{2000};  // an event that got lost is noticed after this long
constexpr int kPollMs = 500;

class Follower {
 public:
  Follower(Client& client, Json scenario, const std::function<void(const Json&)>& on_change)
      : client_(client), latest_(std::move(scenario)), id_(text_of(latest_, "id")), on_change_(on_change) {}

  [[nodiscard]] bool ended() const { return is_final(latest_); }
  [[nodiscard]] const Json& latest() const { return latest_; }

  void take(Json scenario) {
    if (ended() || text_of(scenario, "id") != id_) return;
    const bool changed = text_of(scenario, "state") != text_of(latest_, "state");
    latest_ = std::move(scenario);
    if (changed && on_change_) on_change_(latest_);
  }

  Outcome<void> refresh() {
    Outcome<Json> scenario = client_.get("/api/chaos/scenarios/" + url_escape(id_));
    if (!scenario) return std::unexpected(scenario.error());
    take(std::move(*scenario));
    return {};
  }

  /// True if the wait was interrupted. Ends early, without an error, where there is no stream.
  bool stream(int interrupt_fd) {
    const auto end = client_.stream("/api/events", {},
                                    {.on_event =
                                         [this](const SseEvent& event) {
                                           if (event.type == "scenario") take(Json::parse(event.data, nullptr, false));
                                           return !ended();
                                         },
                                     .on_tick = [this] { return refresh().has_value() && !ended(); },
                                     .tick = kRefresh,
                                     .interrupt_fd = interrupt_fd});
    return end && *end == Client::StreamEnd::kInterrupted;
  }

 private:
  Client& client_;
  Json latest_;
  std::string id_;
  const std::function<void(const Json&)>& on_change_;
};

}  // namespace

Outcome<Followed> follow_scenario(Client& client, Json scenario, const Interrupt& interrupt,
                                  const std::function<void(const Json&)>& on_change) {
  Follower follower(client, std::move(scenario), on_change);
  while (!follower.ended()) {
    bool interrupted = follower.stream(interrupt.fd());
    if (!interrupted && !follower.ended()) {
      if (auto refreshed = follower.refresh(); !refreshed) return std::unexpected(refreshed.error());
      interrupted = !follower.ended() && interrupt.wait(kPollMs);
    }
    if (interrupted) return Followed{follower.latest(), true};
  }
  return Followed{follower.latest(), false};
}

}  // namespace chaos::ctl
