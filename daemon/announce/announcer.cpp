#include "announce/announcer.h"

#include <fmt/format.h>
#include <limits.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "api/schema.h"
#include "base/clock.h"
#include "base/instance.h"

namespace chaos {
namespace {

using nlohmann::json;

std::string host_name() {
  char name[HOST_NAME_MAX + 1]{};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

}  // namespace

Announcer::Announcer(Place place)
    : place_(std::move(place)),
      journal_(place_.instance),
      motd_(place_.instance, place_.runtime_dir, place_.motd_dir) {}

Announcer::~Announcer() = default;

void Announcer::configure(const std::vector<Webhook>& webhooks, bool journald) {
  journald_ = journald;
  has_webhooks_ = !webhooks.empty();
  if (has_webhooks_ && !webhooks_) webhooks_.emplace();
  if (webhooks_) webhooks_->configure(webhooks);
}

void Announcer::on_change(const Scenario& scenario) {
  const bool known = active_.contains(scenario.id);
  const bool starts = scenario.state == State::kActive && !known;
  const bool ends = is_final(scenario.state) && known;
  if (!starts && !ends) return;
  if (starts) {
    active_[scenario.id] = {.kind = scenario.request.kind,
                            .target = describe_target(scenario.request.target),
                            .ends_at = scenario.ends_at,
                            .shadow = scenario.request.mode == Mode::kShadow};
  } else {
    active_.erase(scenario.id);
  }
  show_motd();
  if (journald_) starts ? journal_.start(scenario) : journal_.end(scenario);
  if (has_webhooks_) post(starts ? "start" : "end", {{"scenario", to_json(scenario)}});
}

void Announcer::emergency_stop(std::string_view reason, std::span<const std::string> ids) {
  if (journald_) journal_.emergency_stop(reason, ids);
  if (has_webhooks_) post("emergency_stop", {{"reason", reason}, {"stopped", ids}});
}

std::optional<WebhookCounts> Announcer::webhook_counts() const {
  if (!has_webhooks_) return std::nullopt;
  return webhooks_->counts();
}

void Announcer::show_motd() {
  if (active_.empty()) return motd_.hide();
  const bool is_default = place_.instance == kDefaultInstance;
  const std::string chaosctl = is_default ? "chaosctl" : fmt::format("chaosctl --socket {}", place_.socket.string());
  if (Status status = motd_.show(motd_text(active_, place_.instance, chaosctl)); !status) {
    if (!std::exchange(motd_told_, true)) spdlog::warn("message of the day: {}", status.error().message);
  }
}

void Announcer::post(std::string_view event, json body) {
  body["event"] = event;
  body["instance"] = place_.instance;
  body["host"] = host_name();
  body["time"] = format_rfc3339(system_clock().wall());
  webhooks_->post(event, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace chaos
