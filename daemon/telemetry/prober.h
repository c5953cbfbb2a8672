// Prober: asks the outside world again and again: whether the configured services are healthy, and what the critical
// metrics with a source are. One thread of its own ("probes") does it, by libcurl and pidfds, and only where something
// is configured: a slow answer delays nobody but itself. Public functions: loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "config/config.h"
#include "telemetry/sampler.h"

namespace chaos {

enum class Health : std::uint8_t { kUnknown, kHealthy, kUnhealthy };
[[nodiscard]] std::string_view to_string(Health health);

/// What the probe of one service has found.
struct ServiceHealth {
  Health state = Health::kUnknown;  ///< until the first probe has ended
  std::string reason;               ///< why it is not healthy
  WallTime since{};                 ///< of this state
  WallTime checked_at{};            ///< when the last probe ended
  std::chrono::nanoseconds took{};  ///< the last probe
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
};
[[nodiscard]] nlohmann::json to_json(const ServiceHealth& health);

/// What one source has said.
struct SourceReading {
  std::optional<double> value;
  std::string problem;  ///< why there is none
};

class Prober {
 public:
  /// Called on the loop when a service's state has changed.
  using Observer = std::function<void(const std::string& service, const ServiceHealth& health)>;

  /// `loop` must outlive it.
  Prober(EventLoop& loop, Observer changed);
  /// Commands that still run are killed.
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  /// From now on these. What is the same as before keeps its state.
  void configure(const Config& config);
  [[nodiscard]] const std::map<std::string, ServiceHealth>& health() const { return health_; }
  /// Series of the above and of the critical metrics.
  [[nodiscard]] std::vector<OwnValue> values() const;

  struct Task;
  /// How one probe ended.
  struct Outcome {
    std::string problem;  ///< empty: it passed
    std::chrono::nanoseconds took{};
    std::optional<std::chrono::nanoseconds> round_trip;
    std::optional<double> number;  ///< of a source
  };

 private:
  class Engine;
  void take(const Task& task, const Outcome& outcome);
  void take_health(const std::string& service, const Outcome& outcome);

  EventLoop& loop_;
  Observer changed_;
  std::vector<std::string> critical_;
  std::map<std::string, Service> services_;
  std::map<std::string, ServiceHealth> health_;                  ///< of services with a probe
  std::map<std::string, SourceReading> readings_;                ///< of critical metrics with a source
  std::map<std::string, std::chrono::nanoseconds> round_trips_;  ///< the newest, by service
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);   ///< for what the loop has still to do
  std::unique_ptr<Engine> engine_;                               ///< null: nothing to ask
  std::vector<std::unique_ptr<Engine>> retired_;  ///< have been told to stop; the loop does not wait for them
};

}  // namespace chaos
