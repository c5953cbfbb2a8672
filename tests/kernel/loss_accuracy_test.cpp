// packet_loss, model random: the share is right, decisions are reproducible, and every packet is accounted for. The
// observer is a pair of sockets and the kernel's own drop counts.
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <sstream>

#include "loss_support.h"

namespace chaos::test {
namespace {

using nlohmann::json;

json loss_request(const VethPair& net, bool egress, std::string_view probability, std::uint64_t seed) {
  const std::string ns = egress ? net.left.name() : net.right.name();
  return {{"kind", "packet_loss"},
          {"target",
           {{"netns", ns},
            {"interface", egress ? "l0" : "r0"},
            {"protocol", "udp"},
            {"port", {"5000", "6000"}},
            {"direction", egress ? "egress" : "ingress"}}},
          {"parameters", {{"probability", probability}}},
          {"seed", std::to_string(seed)},
          {"duration", "120s"}};
}

/// Upper tail of the chi-square distribution (Wilson and Hilferty 1931; good to 1e-3 for k >= 10).
double chi_square_p(double x, double k) {
  const double z = (std::cbrt(x / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

class LossAccuracy : public ::testing::TestWithParam<std::tuple<std::pair<const char*, double>, bool>> {};

TEST_P(LossAccuracy, HoldsOverSeedsAndAccountsForEveryPacket) {
  const auto [probability, egress] = GetParam();
  const auto [text, p] = probability;
  const VethPair net("acc");
  const Daemon daemon;
  FlowSpec flow;
  flow.packets = full_size() ? 200'000 : 20'000;
  double chi_square = 0;
  constexpr int kSeeds = 20;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const std::uint64_t softnet_before = softnet_drops();
    const json started = daemon.run_scenario(loss_request(net, egress, text, static_cast<std::uint64_t>(seed)));
    const FlowResult result = run_flows(net, {flow}).front();
    const Sums sums(daemon.stop_scenario(started.at("id")));
    const std::uint64_t kernel_drops = result.socket_drops + softnet_drops() - softnet_before;
    ASSERT_EQ(result.refused, 0U) << "the sender was told";
    ASSERT_EQ(result.sent, flow.packets);
    ASSERT_EQ(result.sent, result.received + sums.injected + kernel_drops) << "seed " << seed;
    ASSERT_EQ(sums.matched, flow.packets);
    ASSERT_TRUE(sums.closes());
    const double sigma = deviation(sums.injected, result.sent, p);
    EXPECT_LT(std::abs(sigma), 4.0) << "seed " << seed << " lost " << sums.injected;
    chi_square += sigma * sigma;
  }
  const double tail = chi_square_p(chi_square, kSeeds);
  std::printf("%s %s: chi2 %.1f over %d seeds of %llu packets, p = %.4f\n", egress ? "egress" : "ingress", text,
              chi_square, kSeeds, static_cast<unsigned long long>(flow.packets), tail);
  EXPECT_GT(tail, 0.001);
}

INSTANTIATE_TEST_SUITE_P(Probabilities, LossAccuracy,
                         ::testing::Combine(::testing::Values(std::pair{"0.1%", 0.001}, std::pair{"1%", 0.01},
                                                              std::pair{"10%", 0.1}, std::pair{"50%", 0.5}),
                                            ::testing::Bool()),
                         [](const auto& param) {
                           return std::string(std::get<1>(param.param) ? "Egress" : "Ingress") +
                                  std::to_string(std::lround(std::get<0>(param.param).second * 1000)) + "PerMille";
                         });

std::vector<std::vector<bool>> losses_of(const VethPair& net, const Daemon& daemon, std::uint64_t seed) {
  std::vector<FlowSpec> flows(4);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    flows[i].source_port = static_cast<std::uint16_t>(5000 + i);
    flows[i].port = static_cast<std::uint16_t>(6000 + i);
  }
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", net.left.name()}, {"interface", "l0"}}},
                                            {"parameters", {{"probability", "10%"}}},
                                            {"seed", std::to_string(seed)},
                                            {"duration", "60s"}});
  std::vector<std::vector<bool>> losses;
  for (FlowResult& result : run_flows(net, flows)) {
    EXPECT_EQ(result.socket_drops, 0U);
    losses.push_back(std::move(result.lost));
  }
  EXPECT_TRUE(Sums(daemon.stop_scenario(started.at("id"))).closes());
  return losses;
}

TEST(LossDecisions, SameSeedLosesSamePacketsWithFourSendersAtOnce) {
  const VethPair net("seed");
  const Daemon daemon;
  const auto first = losses_of(net, daemon, 7);
  const auto second = losses_of(net, daemon, 7);
  const auto other = losses_of(net, daemon, 8);
  EXPECT_EQ(first, second);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_NE(first[i], other[i]);
    EXPECT_GT(std::ranges::count(first[i], true), 0);
    for (std::size_t j = i + 1; j < first.size(); ++j) EXPECT_NE(first[i], first[j]) << "flows decide alike";
  }
}

TEST(LossDecisions, Ipv6FlowsDecideByTheirOwnAddresses) {
  const VethPair net("six");
  const Daemon daemon;
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", net.left.name()}, {"peer", "fd77::2"}}},
                                            {"parameters", {{"probability", "25%"}}},
                                            {"seed", "3"},
                                            {"duration", "60s"}});
  FlowSpec six{.from = "fd77::1", .to = "fd77::2"};
  const FlowSpec four;
  const FlowResult lossy = run_flows(net, {six}).front();
  const FlowResult whole = run_flows(net, {four}).front();
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_LT(std::abs(deviation(lossy.sent - lossy.received, lossy.sent, 0.25)), 4.0);
  EXPECT_EQ(lossy.sent, lossy.received + sums.injected);
  EXPECT_EQ(whole.received, whole.sent) << "an IPv6 peer filter hit IPv4";
  EXPECT_TRUE(sums.closes());
}

TEST(LossDecisions, AllIpv6PrefixHitsNoIpv4) {
  const VethPair net("any6");
  const Daemon daemon;
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", net.left.name()}, {"peer", "::/0"}}},
                                            {"parameters", {{"probability", "100%"}}},
                                            {"duration", "60s"}});
  const FlowResult four = run_flows(net, {FlowSpec{.packets = 2000}}).front();
  const FlowResult six = run_flows(net, {FlowSpec{.from = "fd77::1", .to = "fd77::2", .packets = 2000}}).front();
  EXPECT_EQ(four.received, four.sent);
  EXPECT_EQ(six.received, 0U);
  EXPECT_TRUE(Sums(daemon.stop_scenario(started.at("id"))).closes());
}

TEST(LossDecisions, BudgetIsExactWithEightSenders) {
  const VethPair net("budget");
  const Daemon daemon;
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", net.left.name()}, {"protocol", "udp"}}},
                                            {"parameters", {{"probability", "50%"}, {"max_events", 1234}}},
                                            {"duration", "60s"}});
  std::vector<FlowSpec> flows(8);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    flows[i].source_port = static_cast<std::uint16_t>(5000 + i);
    flows[i].port = static_cast<std::uint16_t>(6000 + i);
  }
  std::uint64_t lost = 0;
  for (const FlowResult& result : run_flows(net, flows)) lost += result.sent - result.received - result.socket_drops;
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_EQ(lost, 1234U);
  EXPECT_EQ(sums.injected, 1234U);
  EXPECT_GT(sums.spared_budget, 0U);
  EXPECT_TRUE(sums.closes());
}

TEST(LossDecisions, ShadowDecidesCountsAndLosesNothing) {
  const VethPair net("shadow");
  const Daemon daemon;
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", net.left.name()}, {"protocol", "udp"}}},
                                            {"parameters", {{"probability", "50%"}}},
                                            {"mode", "shadow"},
                                            {"duration", "60s"}});
  const FlowResult result = run_flows(net, {FlowSpec{}}).front();
  const json ended = daemon.stop_scenario(started.at("id"));
  EXPECT_EQ(result.received, result.sent);
  EXPECT_EQ(ended.at("counters").at("injected"), 0);
  EXPECT_LT(std::abs(deviation(ended.at("counters").at("shadowed"), result.sent, 0.5)), 4.0);
}

}  // namespace
}  // namespace chaos::test
