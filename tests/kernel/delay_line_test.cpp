// Packets are held: they come that much later, in their order, all of them; scenarios compose, and what cannot be
// honoured is refused. Observers: ping and sockets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delay_line_bed.h"
#include "ordered_flows.h"
#include "support/cgroup.h"
#include "support/observe.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;

TEST_F(DelayLine, PingTakesThatMuchLongerBothFamiliesBothWays) {
  ASSERT_LT(least(round_trips("10.77.0.2")), 5.0 * time_scale());
  for (const char* direction : {"egress", "ingress", "both"}) {
    const double once = 20.0;
    const double expected = std::string(direction) == "both" ? 2 * once : once;
    const std::string id = begin("latency_injection", {{"delay", "20ms"}}, direction);
    for (const char* address : {"10.77.0.2", "fd77::2"}) {
      const auto times = round_trips(address);
      ASSERT_EQ(times.size(), 5U) << direction << " " << address;
      EXPECT_GE(least(times), expected) << direction << " " << address;
      EXPECT_LE(least(times), expected + 10.0 * time_scale()) << direction << " " << address;
    }
    const json ended = daemon_->stop_scenario(id);
    const Sums sums(ended);
    EXPECT_TRUE(sums.closes());
    EXPECT_EQ(sums.injected, std::string(direction) == "both" ? 20U : 10U);
    EXPECT_EQ(sums.over_limit, 0U);
    const std::string achieved = ended.at("achieved").value("delay", "");
    ASSERT_TRUE(achieved.starts_with("p50 ")) << achieved;
    EXPECT_NEAR(std::stod(achieved.substr(4)), 20.0 + 2.0 * time_scale(), 2.1 * time_scale());
    EXPECT_FALSE(lines_left());
    EXPECT_LT(least(round_trips("10.77.0.2")), 5.0 * time_scale());
  }
  EXPECT_EQ(attached_programs(net_->left, "l0"), 0U);
}

TEST_F(DelayLine, OnlyWhatMatchesIsHeld) {
  const std::string id =
      begin("latency_injection", {{"delay", "300ms"}}, "egress", {{"peer", "10.77.0.2"}, {"protocol", "icmp"}});
  EXPECT_GE(least(round_trips("10.77.0.2", 2)), 300.0);
  EXPECT_LT(least(round_trips("fd77::2", 2)), 100.0 * time_scale());
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 5000}}).front();
  EXPECT_EQ(flow.received, flow.sent);
  const Sums sums(daemon_->stop_scenario(id));
  EXPECT_EQ(sums.injected, 2U);
}

TEST_F(DelayLine, PacketsOfFlowsKeepTheirOrderAndAllArrive) {
  const std::string id = begin("latency_injection", {{"delay", "10ms"}, {"jitter", "8ms"}});
  std::vector<OrderedSpec> specs;
  for (std::uint16_t i = 0; i < 8; ++i) {
    specs.push_back({.source_port = static_cast<std::uint16_t>(5000 + i),
                     .port = static_cast<std::uint16_t>(6000 + i),
                     .packets = full_size() ? 1'250'000U : 5000U,
                     .pace = std::chrono::microseconds(100)});
  }
  std::uint64_t sent = 0;
  std::uint64_t inversions = 0;
  std::uint64_t lost = 0;
  for (const OrderedResult& flow : run_ordered(*net_, specs)) {
    sent += flow.sent;
    inversions += flow.inversions;
    lost += flow.sent - flow.received - flow.socket_drops;
  }
  const json ended = daemon_->stop_scenario(id);
  const Sums sums(ended);
  EXPECT_EQ(inversions, 0U);
  EXPECT_EQ(sums.injected + sums.over_limit, sent);
  // Beyond what the line itself says that it had no room for, nothing is lost.
  EXPECT_LE(lost, sums.over_limit + softnet_drops());
  EXPECT_TRUE(sums.closes());
}

TEST_F(DelayLine, ScenariosComposeOnOnePacket) {
  const std::string first = begin("latency_injection", {{"delay", "20ms"}});
  const std::string second = begin("latency_injection", {{"delay", "30ms"}});
  const std::string twice = begin("packet_duplication", {{"probability", "100%"}});
  const auto times = round_trips("10.77.0.2", 4);
  ASSERT_EQ(times.size(), 4U);
  EXPECT_GE(least(times), 50.0);
  // Loss beside it: what is lost never comes to the line.
  const std::string loss = begin("packet_loss", {{"probability", "100%"}});
  EXPECT_TRUE(round_trips("10.77.0.2", 3).empty());
  const Sums lost(daemon_->stop_scenario(loss));
  EXPECT_EQ(lost.injected, 3U);
  const Sums delayed(daemon_->stop_scenario(first));
  EXPECT_EQ(delayed.injected, 7U);
  EXPECT_EQ(delayed.over_limit, 0U);
  EXPECT_GE(least(round_trips("10.77.0.2", 3)), 30.0);
  EXPECT_LT(least(round_trips("10.77.0.2", 3)), 45.0 * time_scale());
  (void)daemon_->stop_scenario(second);
  const Sums doubled(daemon_->stop_scenario(twice));
  EXPECT_EQ(doubled.injected, 13U);
  EXPECT_FALSE(lines_left());
}

TEST_F(DelayLine, AtABridgePortAndWithLargeFrames) {
  const std::string right = "ip -n " + net_->right.name() + " ";
  (void)shell(right + "link add br0 type bridge && " + right + "link set r0 master br0 && " + right +
              "address flush dev r0 && " + right + "address add 10.77.0.2/24 dev br0 && " + right +
              "address add fd77::2/64 dev br0 nodad && " + right + "link set br0 up");
  (void)shell(right + "link set r0 mtu 9000 && " + right + "link set br0 mtu 9000 && ip -n " + net_->left.name() +
              " link set l0 mtu 9000");
  ASSERT_TRUE(eventually([&] { return !round_trips("fd77::2", 1).empty() && !round_trips("10.77.0.2", 1).empty(); }));
  const std::string id = id_of(daemon_->run_scenario({{"kind", "latency_injection"},
                                                      {"target", {{"netns", net_->right.name()}, {"interface", "r0"}}},
                                                      {"parameters", {{"delay", "20ms"}}},
                                                      {"duration", "120s"}}));
  for (const char* size : {"-s 56", "-s 8900 -M do", "-s 20000"}) {
    for (const char* address : {"10.77.0.2", "fd77::2"}) {
      const auto times = round_trips(address, 3, size);
      ASSERT_EQ(times.size(), 3U) << size << " " << address;
      EXPECT_GE(least(times), 40.0) << size << " " << address;
    }
  }
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

TEST_F(DelayLine, WhatCannotBeHonouredIsRefusedWithItsField) {
  const auto refusal = [&](json target, json parameters) {
    const Response answer = daemon_->post(
        "/api/chaos/scenarios",
        {{"kind", "latency_injection"}, {"target", std::move(target)}, {"parameters", std::move(parameters)}});
    return std::pair(answer.status, answer.body.value("field", ""));
  };
  const json here{{"netns", net_->left.name()}, {"interface", "l0"}};
  const auto expect = [](long status, const char* field) { return std::pair(status, std::string(field)); };
  EXPECT_EQ(refusal(here, {{"delay", "10ms"}, {"jitter", "20ms"}}), expect(400, "parameters.jitter"));
  EXPECT_EQ(refusal(here, {{"delay", "10ms"}, {"jitter", "5ms"}, {"distribution", "normal"}}),
            expect(400, "parameters.jitter"));
  EXPECT_EQ(refusal(here, {{"delay", "10ms"}, {"pulse_on", "1s"}}), expect(400, "parameters.pulse_on"));
  EXPECT_EQ(refusal(here, {{"delay", "10ms"}, {"ramp_from", "1s"}}), expect(400, "parameters.ramp_from"));
  EXPECT_EQ(refusal(here, {{"delay", "0s"}, {"distribution", "empirical"}, {"table", "5ms,1ms"}}),
            expect(400, "parameters.table"));
  EXPECT_EQ(refusal(here, {{"delay", "0s"}, {"distribution", "empirical"}}), expect(400, "parameters.table"));
  EXPECT_EQ(refusal({{"netns", net_->left.name()}, {"interface", "lo"}}, {{"delay", "10ms"}}),
            expect(501, "target.interface"));
  EXPECT_FALSE(lines_left());
}

}  // namespace
}  // namespace chaos::test
