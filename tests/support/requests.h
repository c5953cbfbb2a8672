// The requests that system tests make of a daemon.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "support/daemon.h"
#include "support/net.h"

namespace chaos::test {

/// All packets of the namespace are lost for a minute, but for what is protected.
[[nodiscard]] inline nlohmann::json total_loss(const Namespace& ns, const std::string& duration = "1m") {
  return {{"kind", "packet_loss"},
          {"target", {{"netns", ns.name()}}},
          {"parameters", {{"probability", "100%"}}},
          {"duration", duration}};
}

[[nodiscard]] inline std::string id_of(const nlohmann::json& scenario) { return scenario.at("id").get<std::string>(); }

/// Waits until a scenario has ended; its record. Throws if it has not after 20 s.
[[nodiscard]] inline nlohmann::json wait_for_end(const Daemon& daemon, const std::string& id) {
  nlohmann::json record;
  const bool ended = eventually(
      [&] {
        record = daemon.scenario(id);
        return record.contains("ended_at");
      },
      std::chrono::seconds(20));
  if (!ended) throw std::runtime_error("has not ended: " + record.dump(1));
  return record;
}

}  // namespace chaos::test
