// packet_loss, the models with memory: bursts are as long and losses as many as theory says, every n-th is every n-th,
// and the conversations that are chosen are hit in both directions, and no others. The observer is a pair of sockets.
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <random>

#include "loss_support.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;

json model_request(const VethPair& net, json parameters, std::uint64_t seed) {
  return {{"kind", "packet_loss"},
          {"target", {{"netns", net.left.name()}, {"interface", "l0"}, {"protocol", "udp"}}},
          {"parameters", std::move(parameters)},
          {"seed", std::to_string(seed)},
          {"duration", "120s"}};
}

std::vector<FlowSpec> flows_of(std::size_t count, std::uint64_t packets) {
  std::vector<FlowSpec> flows(count);
  for (std::size_t i = 0; i < count; ++i) {
    flows[i].source_port = static_cast<std::uint16_t>(5000 + i);
    flows[i].port = static_cast<std::uint16_t>(6000 + i);
    flows[i].packets = packets;
  }
  return flows;
}

/// Runs the flows under one scenario and checks that all packets are accounted for. Where the kernel itself ran out of
/// room for some, the run says nothing about the others: it is made again.
std::vector<FlowResult> run_under(const VethPair& net, const Daemon& daemon, const json& request,
                                  const std::vector<FlowSpec>& flows) {
  constexpr int kTries = 10;
  std::vector<FlowResult> results;
  std::optional<Sums> last;
  for (int i = 0; i < kTries; ++i) {
    const std::uint64_t drops_before = softnet_drops();
    const json started = daemon.run_scenario(request);
    results = run_flows(net, flows);
    last.emplace(daemon.stop_scenario(started.at("id")));
    if (softnet_drops() == drops_before) break;
  }
  const Sums& sums = *last;
  std::uint64_t missing = 0;
  for (const FlowResult& result : results) {
    EXPECT_EQ(result.refused, 0U);
    EXPECT_EQ(result.socket_drops, 0U);
    missing += result.sent - result.received;
  }
  EXPECT_EQ(sums.injected, missing);
  EXPECT_TRUE(sums.closes());
  return results;
}

struct Gilbert {
  const char* name;
  double p, r, good, bad;
};

/// Two figures of a sequence of losses.
struct Figures {
  double share = 0;
  double burst = 0;  ///< mean length of what is lost in one go; 0 if nothing is
};

Figures figures_of(const std::vector<bool>& lost) {
  std::size_t losses = 0;
  std::size_t bursts = 0;
  for (std::size_t i = 0; i < lost.size(); ++i) {
    if (!lost[i]) continue;
    ++losses;
    if (i == 0 || !lost[i - 1]) ++bursts;
  }
  return {static_cast<double>(losses) / static_cast<double>(lost.size()),
          bursts == 0 ? 0 : static_cast<double>(losses) / static_cast<double>(bursts)};
}

/// What theory expects (Gilbert 1960, Elliott 1963): with the stationary shares of the states, P(lost) and
/// P(lost and the one before it lost).
Figures expected(const Gilbert& m) {
  const double in_bad = m.p / (m.p + m.r);
  const double in_good = 1 - in_bad;
  const double lost = in_good * m.good + in_bad * m.bad;
  const double both =
      in_good * m.good * ((1 - m.p) * m.good + m.p * m.bad) + in_bad * m.bad * (m.r * m.good + (1 - m.r) * m.bad);
  return {lost, lost / (lost - both)};
}

/// How far the figures of one sequence scatter, from a model of its own with another generator.
Figures scatter(const Gilbert& m, std::size_t packets) {
  std::mt19937_64 random(1960);
  std::uniform_real_distribution<double> uniform;
  constexpr int kRuns = 300;
  std::vector<Figures> runs;
  for (int run = 0; run < kRuns; ++run) {
    bool bad = uniform(random) < m.p / (m.p + m.r);
    std::vector<bool> lost(packets);
    for (std::size_t i = 0; i < packets; ++i) {
      lost[i] = uniform(random) < (bad ? m.bad : m.good);
      if (uniform(random) < (bad ? m.r : m.p)) bad = !bad;
    }
    runs.push_back(figures_of(lost));
  }
  const auto deviation_of = [&](double Figures::*figure) {
    double sum = 0;
    double squares = 0;
    for (const Figures& run : runs) {
      sum += run.*figure;
      squares += run.*figure * run.*figure;
    }
    const double mean = sum / kRuns;
    return std::sqrt(squares / kRuns - mean * mean);
  };
  return {deviation_of(&Figures::share), deviation_of(&Figures::burst)};
}

std::string percent(double value) { return std::to_string(value * 100) + "%"; }

class LossGilbertElliott : public testing::TestWithParam<Gilbert> {};

TEST_P(LossGilbertElliott, SharesAndBurstsAreAsTheorySays) {
  const Gilbert model = GetParam();
  const std::uint64_t packets = full_size() ? 200'000 : time_scale() > 1 ? 5'000 : 20'000;
  const Figures theory = expected(model);
  const Figures sigma = scatter(model, packets);
  const VethPair net("gilbert");
  const Daemon daemon;
  constexpr int kSeeds = 20;
  Figures mean;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const json request = model_request(net,
                                       {{"model", "gilbert_elliott"},
                                        {"p", percent(model.p)},
                                        {"r", percent(model.r)},
                                        {"good_loss", percent(model.good)},
                                        {"bad_loss", percent(model.bad)}},
                                       static_cast<std::uint64_t>(seed));
    const Figures seen = figures_of(run_under(net, daemon, request, flows_of(1, packets)).front().lost);
    EXPECT_LT(std::abs(seen.share - theory.share), 4 * sigma.share) << "seed " << seed;
    EXPECT_LT(std::abs(seen.burst - theory.burst), 4 * sigma.burst) << "seed " << seed;
    mean.share += seen.share / kSeeds;
    mean.burst += seen.burst / kSeeds;
  }
  std::printf("%s: share %.5f (theory %.5f), burst %.3f (theory %.3f), over %d seeds of %llu packets\n", model.name,
              mean.share, theory.share, mean.burst, theory.burst, kSeeds, static_cast<unsigned long long>(packets));
  // Twenty seeds together are twenty times as sharp.
  EXPECT_LT(std::abs(mean.share - theory.share), 4 * sigma.share / std::sqrt(kSeeds));
  EXPECT_LT(std::abs(mean.burst - theory.burst), 4 * sigma.burst / std::sqrt(kSeeds));
}

INSTANTIATE_TEST_SUITE_P(Sets, LossGilbertElliott,
                         testing::Values(Gilbert{"Usual", 0.01, 0.25, 0, 1}, Gilbert{"Long", 0.005, 0.1, 0, 1},
                                         Gilbert{"Frequent", 0.05, 0.5, 0, 1}, Gilbert{"Short", 0.1, 0.9, 0, 1},
                                         Gilbert{"Leaky", 0.02, 0.2, 0.01, 0.8}),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(LossModels, GilbertElliottDecidesTheSameForTheSameSeed) {
  const VethPair net("same");
  const Daemon daemon;
  const auto losses = [&](std::uint64_t seed) {
    const json request = model_request(net, {{"model", "gilbert_elliott"}, {"p", "5%"}, {"r", "30%"}}, seed);
    std::vector<std::vector<bool>> all;
    for (FlowResult& result : run_under(net, daemon, request, flows_of(4, 5000))) all.push_back(std::move(result.lost));
    return all;
  };
  const auto first = losses(7);
  EXPECT_EQ(first, losses(7));
  EXPECT_NE(first, losses(8));
  EXPECT_NE(first[0], first[1]);
}

TEST(LossModels, EveryNthOfEachOfEightFlows) {
  const VethPair net("nth");
  const Daemon daemon;
  for (const std::uint64_t n : {1, 2, 7, 100}) {
    const json request = model_request(net, {{"model", "every_nth"}, {"n", n}}, 11);
    std::set<std::uint64_t> phases;
    for (const FlowResult& result : run_under(net, daemon, request, flows_of(8, 5000))) {
      const auto first = static_cast<std::uint64_t>(std::ranges::find(result.lost, true) - result.lost.begin());
      ASSERT_LT(first, n);
      phases.insert(first);
      for (std::uint64_t i = 0; i < result.lost.size(); ++i) {
        ASSERT_EQ(result.lost[i], i % n == first) << "packet " << i << " of n = " << n;
      }
    }
    // Where the count begins differs from flow to flow: short flows are hit as often as long ones.
    if (n == 100) {
      EXPECT_GT(phases.size(), 1U);
    }
  }
}

TEST(LossModels, PerFlowHitsTheChosenConversationsInBothDirectionsAndNoOthers) {
  const VethPair net("perflow");
  const Daemon daemon;
  constexpr std::size_t kFlows = 60;
  std::vector<FlowSpec> flows = flows_of(kFlows, 20);
  std::vector<FlowSpec> back = flows;
  for (FlowSpec& flow : back) {
    std::swap(flow.from, flow.to);
    std::swap(flow.source_port, flow.port);
    flow.reverse = true;
  }
  const auto chosen = [&](const std::vector<FlowSpec>& specs, std::uint64_t seed) {
    const json request = model_request(net, {{"model", "per_flow"}, {"share", "30%"}, {"probability", "100%"}}, seed);
    std::vector<bool> hit;
    for (const FlowResult& result : run_under(net, daemon, request, specs)) {
      EXPECT_TRUE(result.received == 0 || result.received == result.sent) << "a flow was hit in part";
      hit.push_back(result.received == 0);
    }
    return hit;
  };
  const std::vector<bool> first = chosen(flows, 5);
  EXPECT_EQ(first, chosen(flows, 5));
  EXPECT_EQ(first, chosen(back, 5)) << "the other direction of a conversation";
  EXPECT_NE(first, chosen(flows, 6));
  const auto hit = static_cast<std::uint64_t>(std::ranges::count(first, true));
  EXPECT_LT(std::abs(deviation(hit, kFlows, 0.3)), 4.0) << hit << " of " << kFlows;
}

TEST(LossModels, PerFlowLosesAShareWithinTheChosen) {
  const VethPair net("within");
  const Daemon daemon;
  const json request = model_request(net, {{"model", "per_flow"}, {"share", "100%"}, {"probability", "20%"}}, 3);
  for (const FlowResult& result : run_under(net, daemon, request, flows_of(4, 10'000))) {
    EXPECT_LT(std::abs(deviation(result.sent - result.received, result.sent, 0.2)), 4.0);
  }
}

}  // namespace
}  // namespace chaos::test
