// TopSample: what chaosctl top asks the daemon for, and the answers as they came. One thread at a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ctl/client.h"

namespace chaos::ctl {

/// What is asked beyond what the daemon knows anyway.
struct TopQuestions {
  /// Drops, retransmits and round trips: chaosd attaches eBPF programs for as long as somebody asks.
  bool drops = false;
  std::chrono::milliseconds interval{1000};  ///< until the next time; the programs stay that long
};

struct TopSample {
  WallTime time{};              ///< here, when it was asked
  std::optional<Problem> lost;  ///< the daemon does not answer (or may not be asked); nothing below then
  Json health = Json::object();
  Json scenarios = Json::object();
  Json services = Json::object();
  Json host = Json::object();             ///< the metrics chaosd_host_*
  Json service_metrics = Json::object();  ///< the metrics chaosd_service_*
  std::vector<std::string> problems;      ///< why one of these is missing
  std::optional<Outcome<Json>> drops;     ///< unset: not asked for
  std::optional<Outcome<Json>> tcp;
};

/// Blocks for as long as the daemon takes, at most the client's timeout for each answer.
[[nodiscard]] TopSample take_sample(Client& client, const TopQuestions& questions);

/// The answers as one document, for scripts.
[[nodiscard]] Json sample_json(const TopSample& sample);

}  // namespace chaos::ctl
