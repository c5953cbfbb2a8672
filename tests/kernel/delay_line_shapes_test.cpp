// What a delay line does to packets in number and time is what was asked for: shares, rates, distributions. Observers:
// sockets, and the kernel's counters.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "delay_line_bed.h"
#include "ordered_flows.h"
#include "support/distributions.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

/// A share that was asked for, and what came of it over seeds: each within 4 sigma, and all of them together.
class Share {
 public:
  explicit Share(double asked) : asked_(asked) {}
  void add(int seed, std::uint64_t hit, std::uint64_t of) {
    const double sigmas = deviation(hit, of, asked_);
    EXPECT_LT(std::abs(sigmas), 4.0) << "seed " << seed;
    chi_square_ += sigmas * sigmas;
    ++seeds_;
  }
  /// The sum of their squares has the mean n and the variance 2n; for few it is no normal one.
  ~Share() {
    if (seeds_ >= 10) {
      EXPECT_LT(chi_square_, seeds_ + 4 * std::sqrt(2.0 * seeds_)) << "over " << seeds_ << " seeds";
    }
  }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

 private:
  double asked_;
  double chi_square_ = 0;
  int seeds_ = 0;
};

TEST_F(DelayLine, TheShareThatIsReorderedOvertakes) {
  Share share(0.1);
  for (int seed = 1; seed <= by_size(1, 20); ++seed) {
    json asked =
        request("latency_injection", {{"delay", "100ms"}, {"reorder", "10%"}}, "egress", {{"protocol", "udp"}});
    asked["seed"] = std::to_string(seed);
    const json started = daemon_->run_scenario(asked);
    // Further apart than a burst: each that overtakes is one that came after a later one.
    const auto delays = one_way_delays(*net_, 10'000, std::chrono::microseconds(100));
    (void)daemon_->stop_scenario(started.at("id"));
    const auto straight =
        static_cast<std::uint64_t>(std::ranges::count_if(delays, [](double delay) { return delay < 50; }));
    EXPECT_EQ(delays.size(), 10'000U);
    share.add(seed, straight, delays.size());
  }
  const std::string id = begin("latency_injection", {{"delay", "20ms"}, {"reorder", "10%"}});
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 5000}}).front();
  (void)daemon_->stop_scenario(id);
  EXPECT_EQ(flow.received, flow.sent);
  EXPECT_GT(flow.inversions, 500U);
}

TEST_F(DelayLine, DuplicatesAreAsManyAsWereAskedFor) {
  Share share(0.1);
  for (int seed = 1; seed <= by_size(2, 20); ++seed) {
    json asked = request("packet_duplication", {{"probability", "10%"}});
    asked["seed"] = std::to_string(seed);
    const json started = daemon_->run_scenario(asked);
    const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 20'000}}).front();
    const Sums sums(daemon_->stop_scenario(started.at("id")));
    EXPECT_EQ(flow.received, flow.sent);
    EXPECT_EQ(flow.repeated, sums.injected);
    share.add(seed, sums.injected, flow.sent);
  }
}

TEST_F(DelayLine, CorruptPacketsAreAsManyAsWereAskedForAndCaughtByTheReceiversChecksum) {
  const auto errors = [this] { return counter_of(net_->right, "UdpInCsumErrors"); };
  for (const bool offloads : {true, false}) {
    if (!offloads) net_->disable_offloads();
    Share share(0.2);
    for (int seed = 1; seed <= by_size(3, 20); ++seed) {
      json asked = request("packet_corruption", {{"probability", "20%"}}, "egress", {{"protocol", "udp"}});
      asked["seed"] = std::to_string(seed);
      const auto before = errors();
      const json started = daemon_->run_scenario(asked);
      const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 10'000, .patience = milliseconds(200)}}).front();
      const Sums sums(daemon_->stop_scenario(started.at("id")));
      share.add(seed, sums.injected, flow.sent);
      EXPECT_EQ(flow.received, flow.sent - sums.injected) << seed;
      EXPECT_EQ(errors() - before, sums.injected) << seed;
    }
  }
}

TEST_F(DelayLine, TcpGetsEverythingAcrossCorruptPackets) {
  const auto before = counter_of(net_->right, "TcpInCsumErrors");
  const std::string id = begin("packet_corruption", {{"probability", "5%"}});
  const Outcome transfer = transfer_megabytes(*net_, 32);
  EXPECT_EQ(transfer.status, 0) << transfer.output;
  const Sums sums(daemon_->stop_scenario(id));
  EXPECT_GT(sums.injected, 5U);
  EXPECT_EQ(counter_of(net_->right, "TcpInCsumErrors") - before, sums.injected);
}

TEST_F(DelayLine, ALinkOfSomeRate) {
  // Frames of 1042 bytes, for a second; in full for ten, and up to what this takes 82,500 packets a second for.
  struct Link {
    const char* rate;
    double bits;
  };
  std::vector<Link> links{{"1mbit", 1e6}, {"10mbit", 10e6}, {"100mbit", 100e6}};
  if (full_size()) links.push_back({"1gbit", 1e9});
  for (const Link& link : links) {
    const std::size_t payload = link.bits < 1e9 ? 1000 : 1472;
    const auto frame_bits = static_cast<double>(payload + 42) * 8;
    const auto packets = static_cast<std::uint64_t>(link.bits / frame_bits * (full_size() ? 10 : 1));
    const std::string id = begin("bandwidth_limit", {{"rate", link.rate}, {"queue", "128MiB"}, {"burst", "0"}},
                                 "egress", {{"protocol", "udp"}});
    // Somewhat faster than the link, so that it is never idle; not more than the queue has room for.
    const double share = link.bits < 1e9 ? 0.8 : 0.95;
    const std::chrono::nanoseconds pace(static_cast<std::int64_t>(frame_bits / link.bits * 1e9 * share));
    const std::uint64_t softnet_before = softnet_drops();
    const auto flow = run_ordered(*net_, {OrderedSpec{.packets = packets, .size = payload, .pace = pace}}).front();
    const json ended = daemon_->stop_scenario(id);
    // What the receiver has no room for is the kernel's own loss.
    EXPECT_EQ(flow.received + flow.socket_drops + softnet_drops() - softnet_before, flow.sent) << link.rate;
    const double measured =
        static_cast<double>(packets - 1) * frame_bits / std::chrono::duration<double>(flow.span).count();
    EXPECT_NEAR(measured / link.bits, 1.0, full_size() ? 0.02 : 0.05 * time_scale()) << link.rate;
    EXPECT_FALSE(ended.at("achieved").contains("queue_drops")) << link.rate;
    EXPECT_TRUE(Sums(ended).closes());
  }
}

TEST_F(DelayLine, WhatALinksQueueHasNoRoomForIsDroppedAndCounted) {
  const std::string id =
      begin("bandwidth_limit", {{"rate", "10mbit"}, {"queue", "100KiB"}}, "egress", {{"protocol", "udp"}});
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 2400, .size = 1000}}).front();
  const json ended = daemon_->stop_scenario(id);
  const std::uint64_t dropped = std::stoull(ended.at("achieved").value("queue_drops", "0"));
  EXPECT_GT(dropped, 1000U);
  EXPECT_EQ(flow.received + dropped, flow.sent);
  EXPECT_TRUE(Sums(ended).closes());
}

TEST_F(DelayLine, DelaysAreSpreadAsTheyWereAskedToBe) {
  struct Spread {
    json parameters;
    DistributionFunction function;
  };
  const auto jittered = [](const char* distribution) {
    return json{{"delay", "60ms"}, {"jitter", "20ms"}, {"distribution", distribution}};
  };
  const std::vector<Spread> spreads{
      {{{"delay", "60ms"}, {"jitter", "40ms"}}, uniform_around(60, 40)},
      {jittered("normal"), normal_around(60, 20)},
      {jittered("pareto"), pareto_around(60, 20)},
      {{{"delay", "10ms"}, {"distribution", "empirical"}, {"table", "0ms,40ms,100ms"}}, through({10, 50, 110})},
  };
  for (const Spread& spread : spreads) {
    const std::string id = begin("latency_injection", spread.parameters, "egress", {{"protocol", "udp"}});
    const std::uint64_t packets = full_size() ? 100'000 : 4000;
    const auto delays = one_way_delays(*net_, packets, std::chrono::microseconds(250));
    EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
    EXPECT_EQ(delays.size(), packets) << spread.parameters;
    const double found = distance(delays, spread.function);
    std::printf("[ MEASURED ] %s: distance %.4f\n", spread.parameters.dump().c_str(), found);
    // Beside the 0.02, what so many samples scatter by (the 0.1 % point).
    EXPECT_LT(found, full_size() ? 0.02 : 0.02 * time_scale() + 1.95 / std::sqrt(static_cast<double>(packets)))
        << spread.parameters;
  }
}

}  // namespace
}  // namespace chaos::test
