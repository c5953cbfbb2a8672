// What the packet_loss tests share: a daemon, two hosts on a veth pair, numbered UDP flows across, and the sums.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/cgroup.h"
#include "support/daemon.h"
#include "support/net.h"
#include "support/timings.h"

namespace chaos::test {

/// Counts of a scenario, with CONTRACT's sums checked by closes().
struct Sums {
  explicit Sums(const nlohmann::json& scenario);
  std::uint64_t evaluated, unmatched, matched, injected, not_sampled, spared_protected, spared_budget, spared_expired,
      over_limit;
  [[nodiscard]] bool closes() const;
};

/// One numbered flow; `lost[n]` tells whether datagram n arrived.
struct FlowResult {
  std::uint64_t sent = 0;
  std::uint64_t refused = 0;
  std::uint64_t received = 0;
  std::uint64_t socket_drops = 0;
  std::vector<bool> lost;
};

struct FlowSpec {
  std::string from = "10.77.0.1";
  std::string to = "10.77.0.2";
  std::uint16_t source_port = 5000;
  std::uint16_t port = 6000;
  std::uint64_t packets = 20'000;
  bool reverse = false;  ///< from the right host to the left one
  const TestCgroup* sender_cgroup = nullptr;
  const TestCgroup* receiver_cgroup = nullptr;
};

/// Sends all flows at once, each on a thread of its own, and receives until everything is accounted for or nothing
/// more comes.
std::vector<FlowResult> run_flows(const VethPair& net, const std::vector<FlowSpec>& flows);

/// Drops of this host's softirq backlog (second column of softnet_stat), summed over CPUs.
[[nodiscard]] std::uint64_t softnet_drops();

/// Deviation of `lost` of `sent` from probability p, in standard deviations of the binomial.
double deviation(std::uint64_t lost, std::uint64_t sent, double p);

}  // namespace chaos::test
