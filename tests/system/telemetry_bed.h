// What the tests of telemetry share: a daemon that samples often, and its newest series.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

#include "base/clock.h"
#include "support/daemon.h"
#include "support/net.h"
#include "support/outside.h"

namespace chaos::test {

inline constexpr const char* kFast =
    "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n"
    "telemetry: {interval: 50ms}\n";

/// The series of one answer whose round began after `since`.
inline nlohmann::json metrics_after(const Daemon& daemon, WallTime since, const std::string& pattern = "") {
  nlohmann::json found;
  const bool came = eventually([&] {
    found = daemon.get("/api/monitoring/metrics?pattern=" + pattern).body;
    return found.value("time", "") >= format_rfc3339(since);
  });
  if (!came) throw std::runtime_error("no new round of samples");
  return found.at("metrics");
}

[[nodiscard]] inline Labels labels_of(const nlohmann::json& series) { return series.at("labels").get<Labels>(); }

/// Of the first series of that name with these labels.
inline double value_of(const nlohmann::json& metrics, const std::string& name, const Labels& labels = {}) {
  for (const nlohmann::json& series : metrics) {
    if (series.at("name") != name) continue;
    const Labels has = labels_of(series);
    if (std::ranges::all_of(labels, [&](const auto& label) {
          return has.contains(label.first) && has.at(label.first) == label.second;
        })) {
      return series.at("value");
    }
  }
  ADD_FAILURE() << name << " is not shown";
  return -1;
}

}  // namespace chaos::test
