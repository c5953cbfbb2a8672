// What the tests of kinds that hold packets share: two hosts on a veth pair, a daemon, and a ping that says how long.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "loss_support.h"
#include "support/child.h"
#include "support/kernel_test.h"
#include "support/requests.h"

namespace chaos::test {

class DelayLine : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("line");
    daemon_ = std::make_unique<Daemon>();
  }
  [[nodiscard]] nlohmann::json request(const std::string& kind, nlohmann::json parameters,
                                       const std::string& direction = "egress",
                                       nlohmann::json more = nlohmann::json::object()) const {
    nlohmann::json target{{"netns", net_->left.name()}, {"interface", "l0"}, {"direction", direction}};
    target.update(more);
    return {{"kind", kind},
            {"target", target},
            {"parameters", std::move(parameters)},
            {"seed", "7"},
            {"duration", full_size() ? "10m" : "120s"}};
  }
  std::string begin(const std::string& kind, nlohmann::json parameters, const std::string& direction = "egress",
                    nlohmann::json more = nlohmann::json::object()) {
    return id_of(daemon_->run_scenario(request(kind, std::move(parameters), direction, std::move(more))));
  }
  /// Of `count` echoes from the left host, in ms; empty if one is lost.
  std::vector<double> round_trips(const std::string& to, int count = 5, const std::string& options = "") const {
    const Outcome run = try_shell("ip netns exec " + net_->left.name() + " ping -n -i 0.01 -W 2 " + options + " -c " +
                                  std::to_string(count) + " " + to);
    std::vector<double> times;
    for (std::size_t at = run.output.find("time="); at != std::string::npos; at = run.output.find("time=", at + 1)) {
      if (run.output.find("DUP!", at) < run.output.find('\n', at)) continue;
      times.push_back(std::strtod(run.output.c_str() + at + 5, nullptr));
    }
    return run.status == 0 ? times : std::vector<double>{};
  }
  [[nodiscard]] bool lines_left() const {
    return try_shell("ip -o -n " + net_->left.name() + " link | grep chaosd-").status == 0;
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
};

/// A counter of the host's network stack, as nstat(8) names it, since the namespace began.
inline std::uint64_t counter_of(const Namespace& ns, const std::string& name) {
  return std::stoull(shell("ip netns exec " + ns.name() + " nstat -az " + name + " | awk 'END { print $2 }'"));
}

/// One TCP flow from the left host to the right one (cubic).
inline Outcome transfer_megabytes(const VethPair& net, int megabytes) {
  const Child server(
      "/bin/sh",
      {"sh", "-c", "exec nsenter --net=/run/netns/" + net.right.name() + " iperf3 -s -1 -p 7000 --forceflush 2>&1"});
  for (std::string line = server.read_line(); !line.contains("Server listening"); line = server.read_line()) {
    if (!server.running()) return {1, "the server: " + line};
  }
  return try_shell("ip netns exec " + net.left.name() + " iperf3 -C cubic -c 10.77.0.2 -p 7000 -n " +
                   std::to_string(megabytes) + "M");
}

/// -1 if there are none.
inline double least(const std::vector<double>& values) { return values.empty() ? -1 : std::ranges::min(values); }

}  // namespace chaos::test
