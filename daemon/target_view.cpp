#include "target_view.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace chaos {
namespace {

constexpr std::chrono::seconds kEvery{1};

}  // namespace

TargetView::TargetView(EventLoop& loop, Worker& worker, Observer seen)
    : loop_(loop), worker_(worker), seen_(std::move(seen)) {}

void TargetView::configure(const Config& config) { services_ = config.services; }

void TargetView::on_change(const Scenario& scenario) {
  const bool acts = scenario.state == State::kActive;
  const bool changed =
      acts ? active_.try_emplace(scenario.id, scenario.request).second : active_.erase(scenario.id) > 0;
  if (changed) look();
}

void TargetView::look() {
  if (active_.empty()) {
    timer_.reset();
    return seen_({});
  }
  if (!timer_) {
    auto timer = loop_.add_timer(kEvery, [this] { look(); });
    if (!timer) return spdlog::error("targets are not looked at: {}", timer.error().message);
    timer_ = std::move(*timer);
  } else {
    timer_->rearm(kEvery);
  }
  if (std::exchange(looking_, true)) return;
  worker_.post([this, active = active_, services = services_] {
    std::vector<TargetState> states;
    if (const auto processes = list_user_processes()) {
      for (const auto& [id, request] : active) states.push_back(target_state(id, request, services, *processes));
    }
    loop_.post([this, states = std::move(states)]() mutable {
      looking_ = false;
      // What has ended meanwhile is not shown again.
      std::erase_if(states, [this](const TargetState& state) { return !active_.contains(state.id); });
      if (!active_.empty()) seen_(std::move(states));
    });
  });
}

}  // namespace chaos
