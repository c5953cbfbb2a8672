// OwnMetrics: what chaosd says about itself and its faults as series. What has ended stays visible for a while, so that
// a scrape that comes after the end still sees the final counts. Loop thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/scenario.h"
#include "telemetry/sampler.h"

namespace chaos {

class OwnMetrics {
 public:
  struct Now {
    bool armed = false;
    bool latched = false;
    std::chrono::nanoseconds lease_margin{};
    std::size_t running = 0;
    std::size_t waiting = 0;
    std::size_t subscribers = 0;
  };

  /// Of every change of a scenario's record.
  void on_change(const Scenario& scenario);
  /// `scenarios`: what waits or runs, with its counters as of now.
  [[nodiscard]] std::vector<OwnValue> values(const Now& now, const std::vector<Scenario>& scenarios);

 private:
  struct Ended {
    std::string id;
    std::string kind;
    Counters counters;
    std::chrono::nanoseconds at;  ///< CLOCK_MONOTONIC
  };
  void forget_old();

  std::set<std::string> acting_;                                       ///< began to act and have not ended
  std::deque<Ended> ended_;                                            ///< oldest first
  std::map<std::string, std::uint64_t> injected_;                      ///< by kind, of all that have ended
  std::map<std::string, std::uint64_t> started_;                       ///< by kind
  std::map<std::pair<std::string, std::string>, std::uint64_t> ends_;  ///< by kind and reason
};

}  // namespace chaos
