#include "service_watch.h"

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

namespace chaos {

ServiceWatch::ServiceWatch(EventLoop& loop, Worker& worker, Observer changed)
    : loop_(loop), worker_(worker), changed_(std::move(changed)) {}

void ServiceWatch::configure(const Config& config) {
  configs_ = config.services;
  interval_ = config.monitoring.metrics_interval;
  std::erase_if(last_, [this](const auto& item) { return !configs_.contains(item.first); });
  timer_.reset();
  if (!configs_.empty()) tick();
}

void ServiceWatch::look(Reply reply) {
  worker_.post([this, configs = configs_, reply = std::move(reply)]() mutable {
    auto processes = list_user_processes();
    Result<std::vector<ServiceState>> states = std::vector<ServiceState>();
    if (processes) {
      states = resolve_services(configs, *processes);
    } else {
      states = std::unexpected(processes.error());
    }
    loop_.post([this, states = std::move(states), reply = std::move(reply)]() mutable {
      if (states && seen_) seen_(*states);
      reply(std::move(states));
    });
  });
}

void ServiceWatch::tick() {
  look([this](Result<std::vector<ServiceState>> states) {
    if (states) {
      compare(*states);
    } else {
      spdlog::error("services: {}", states.error().message);
    }
    if (timer_) return timer_->rearm(interval_);
    auto timer = loop_.add_timer(interval_, [this] { tick(); });
    if (!timer) return spdlog::error("services are no longer watched: {}", timer.error().message);
    timer_ = std::move(*timer);
  });
}

void ServiceWatch::compare(const std::vector<ServiceState>& now) {
  for (const ServiceState& service : now) {
    const auto [last, is_new] = last_.try_emplace(service.name, service.pids);
    if (is_new || !configs_.contains(service.name)) continue;
    const bool was_running = !last->second.empty();
    // Workers come and go; when the oldest one is another, it has been restarted.
    const bool replaced = was_running && !service.pids.empty() && last->second.front() != service.pids.front();
    const bool changed = was_running != !service.pids.empty() || replaced;
    last->second = service.pids;
    if (changed) changed_(service, was_running);
  }
}

nlohmann::json to_json(const ServiceState& service) {
  nlohmann::json value{{"name", service.name},    {"place", service.place}, {"running", !service.pids.empty()},
                       {"pids", service.pids},    {"netns", service.netns}, {"ports", service.ports},
                       {"weight", service.weight}};
  if (!service.cgroup.empty()) value["cgroup"] = service.cgroup;
  if (!service.problem.empty()) value["problem"] = service.problem;
  return value;
}

}  // namespace chaos
