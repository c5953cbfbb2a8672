// kill -9 of chaosd in each phase of a scenario's life.
#pragma once

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "support/daemon.h"
#include "support/timings.h"

namespace chaos::test {

enum class Phase { kStarting, kActive, kStopping };

inline std::string name_of(Phase phase) {
  return phase == Phase::kStarting ? "Starting" : phase == Phase::kActive ? "Active" : "Stopping";
}

struct Struck {
  std::chrono::steady_clock::time_point at;
  std::jthread request;  ///< that was under way; joined however the round ends
};

/// In the two phases that are about a moment, a request is under way when the signal comes: later with each round, up
/// to about when it is done. `start` is what starts a scenario, `id` one that is there already (not in kStarting).
inline Struck kill_in(Phase phase, int round, const Daemon& daemon, const nlohmann::json& start,
                      const std::string& id) {
  Struck struck{};
  if (phase == Phase::kStarting) {
    struck.request = std::jthread([&daemon, start] { (void)daemon.post("/api/chaos/scenarios", start); });
  } else if (phase == Phase::kStopping) {
    struck.request = std::jthread([&daemon, id] { (void)daemon.post("/api/chaos/scenarios/" + id + "/stop"); });
  }
  // A start takes up to 100 ms where a process is made.
  const int step_us = phase == Phase::kStarting ? by_size(25'000, 4'000) : 1'000;
  if (struck.request.joinable()) std::this_thread::sleep_for(std::chrono::microseconds(step_us * round));
  struck.at = std::chrono::steady_clock::now();
  daemon.signal(SIGKILL);
  return struck;
}

}  // namespace chaos::test
