// ServiceWatch: keeps an eye on the configured services: which run, with which processes; tells when that changes.
// Loop thread; looks at /proc on the worker.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/event_loop.h"
#include "base/worker.h"
#include "config/config.h"
#include "plan/services.h"

namespace chaos {

class ServiceWatch {
 public:
  using Observer = std::function<void(const ServiceState& service, bool was_running)>;
  using Reply = std::move_only_function<void(Result<std::vector<ServiceState>>)>;

  /// All must outlive it. `changed` is called for a service that has come, gone or been replaced.
  ServiceWatch(EventLoop& loop, Worker& worker, Observer changed);

  /// From now on these; looked at every `monitoring.metrics_interval`. With none configured nothing is looked at.
  void configure(const Config& config);
  /// `seen` gets every look that succeeds, also those that were asked for.
  void on_look(std::function<void(const std::vector<ServiceState>&)> seen) { seen_ = std::move(seen); }
  /// A fresh look. Error: kInternal.
  void look(Reply reply);

 private:
  void tick();
  void compare(const std::vector<ServiceState>& now);

  EventLoop& loop_;
  Worker& worker_;
  Observer changed_;
  std::function<void(const std::vector<ServiceState>&)> seen_;
  ServiceConfigs configs_;
  std::chrono::nanoseconds interval_{};
  EventLoop::SourcePtr timer_;
  std::map<std::string, std::vector<pid_t>> last_;  ///< by service: its processes at the last look
};

[[nodiscard]] nlohmann::json to_json(const ServiceState& service);

}  // namespace chaos
