// Kinds that hold packets: they come later, twice, with a flipped bit, or as slowly as a link would bring them, each of
// them accounted for, and the path is straight at once when chaosd dies, hangs or stops. Observers: ping, sockets with
// the kernel's own time stamps, the kernel's counters.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <thread>

#include "loss_support.h"
#include "ordered_flows.h"
#include "support/distributions.h"
#include "support/kernel_test.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

class DelayLine : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("line");
    daemon_ = std::make_unique<Daemon>();
  }
  [[nodiscard]] json request(const std::string& kind, json parameters, const std::string& direction = "egress",
                             json more = json::object()) const {
    json target{{"netns", net_->left.name()}, {"interface", "l0"}, {"direction", direction}};
    target.update(more);
    return {{"kind", kind},
            {"target", target},
            {"parameters", std::move(parameters)},
            {"seed", "7"},
            {"duration", full_size() ? "10m" : "120s"}};
  }
  std::string begin(const std::string& kind, json parameters, const std::string& direction = "egress",
                    json more = json::object()) {
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

double least(const std::vector<double>& values) { return values.empty() ? -1 : std::ranges::min(values); }

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

TEST_F(DelayLine, TheShareThatIsReorderedOvertakes) {
  for (int seed = 1; seed <= (full_size() ? 20 : 1); ++seed) {
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
    EXPECT_LT(std::abs(deviation(straight, delays.size(), 0.1)), 4.0) << seed;
  }
  const std::string id = begin("latency_injection", {{"delay", "20ms"}, {"reorder", "10%"}});
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 5000}}).front();
  (void)daemon_->stop_scenario(id);
  EXPECT_EQ(flow.received, flow.sent);
  EXPECT_GT(flow.inversions, 500U);
}

TEST_F(DelayLine, DuplicatesAreAsManyAsWereAskedFor) {
  for (int seed = 1; seed <= (full_size() ? 20 : 2); ++seed) {
    json asked = request("packet_duplication", {{"probability", "10%"}});
    asked["seed"] = std::to_string(seed);
    const json started = daemon_->run_scenario(asked);
    const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 20'000}}).front();
    const Sums sums(daemon_->stop_scenario(started.at("id")));
    EXPECT_EQ(flow.received, flow.sent);
    EXPECT_EQ(flow.repeated, sums.injected);
    EXPECT_LT(std::abs(deviation(sums.injected, flow.sent, 0.1)), 4.0);
  }
}

TEST_F(DelayLine, CorruptPacketsAreCaughtByTheReceiversChecksum) {
  const auto errors = [this](const std::string& counter) {
    return std::stoull(
        shell("ip netns exec " + net_->right.name() + " nstat -az " + counter + " | awk 'END { print $2 }'"));
  };
  for (const bool offloads : {true, false}) {
    if (!offloads) net_->disable_offloads();
    const auto before = errors("UdpInCsumErrors");
    const std::string id = begin("packet_corruption", {{"probability", "20%"}}, "egress", {{"protocol", "udp"}});
    const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 10'000}}).front();
    const Sums sums(daemon_->stop_scenario(id));
    EXPECT_LT(std::abs(deviation(sums.injected, flow.sent, 0.2)), 4.0);
    EXPECT_EQ(flow.received, flow.sent - sums.injected);
    EXPECT_EQ(errors("UdpInCsumErrors") - before, sums.injected);
  }
  // TCP gets everything across all the same.
  const auto before = errors("TcpInCsumErrors");
  const std::string id = begin("packet_corruption", {{"probability", "5%"}});
  const Outcome transfer = try_shell("ip netns exec " + net_->right.name() +
                                     " sh -c 'iperf3 -s -1 -p 7000 >/dev/null & sleep 0.5; ip netns exec " +
                                     net_->left.name() + " iperf3 -c 10.77.0.2 -p 7000 -n 32M; wait'");
  EXPECT_EQ(transfer.status, 0) << transfer.output;
  const Sums sums(daemon_->stop_scenario(id));
  EXPECT_GT(sums.injected, 5U);
  EXPECT_EQ(errors("TcpInCsumErrors") - before, sums.injected);
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
    // Somewhat faster than the link, so that it is never idle.
    const std::chrono::microseconds pace(static_cast<std::int64_t>(frame_bits / link.bits * 1e6 * 0.8));
    const auto flow = run_ordered(*net_, {OrderedSpec{.packets = packets, .size = payload, .pace = pace}}).front();
    const json ended = daemon_->stop_scenario(id);
    EXPECT_EQ(flow.received, flow.sent) << link.rate;
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

/// Somebody else's classic filter on one side of l0, behind ours: counts packets by mark and priority.
class MarkCounter {
 public:
  /// Counts those that have both (`equal`), or those whose mark is another.
  MarkCounter(bpf_tc_attach_point side, std::int32_t mark, std::int32_t priority, bool equal) {
    map_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, "others_count", 4, 8, 1, nullptr));
    const std::uint8_t leave = equal ? BPF_JNE : BPF_JEQ;
    const std::array<bpf_insn, 11> code{{
        {BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(__sk_buff, mark), 0},
        {static_cast<__u8>(BPF_JMP | BPF_K | leave), BPF_REG_2, 0, 6, mark},
        {BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(__sk_buff, priority), 0},
        {static_cast<__u8>(BPF_JMP | BPF_K | (equal ? BPF_JNE : BPF_JSET)), BPF_REG_2, 0, 4, equal ? priority : 0},
        {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, map_.get()},
        {0, 0, 0, 0, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 1},
        {BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_1, BPF_REG_2, 0, BPF_ADD},
        {BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
        {},
    }};
    program_.reset(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "others_prog", "GPL", code.data(), 10, nullptr));
    if (!program_.valid()) throw std::runtime_error("load counting program");
    bpf_tc_hook hook;
    std::memset(&hook, 0, sizeof(hook));  // libbpf wants the padding to be zero as well
    hook.sz = sizeof(hook);
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    hook.ifindex = static_cast<int>(if_nametoindex("l0"));
    (void)bpf_tc_hook_create(&hook);
    hook.attach_point = side;
    bpf_tc_opts opts;
    std::memset(&opts, 0, sizeof(opts));
    opts.sz = sizeof(opts);
    opts.prog_fd = program_.get();
    opts.handle = 1;
    opts.priority = 9;
    if (bpf_tc_attach(&hook, &opts) != 0) throw std::runtime_error("attach counting program");
  }
  [[nodiscard]] std::uint64_t count() const {
    const std::uint32_t key = 0;
    std::uint64_t value = 0;
    bpf_map_lookup_elem(map_.get(), &key, &value);
    return value;
  }

 private:
  UniqueFd map_;
  UniqueFd program_;
};

TEST_F(DelayLine, MarksAndPrioritiesComeOutAsTheyWentIn) {
  std::unique_ptr<MarkCounter> good;
  std::unique_ptr<MarkCounter> odd;
  net_->left.run([&] {
    good = std::make_unique<MarkCounter>(BPF_TC_EGRESS, 0x1234, 6, true);
    odd = std::make_unique<MarkCounter>(BPF_TC_INGRESS, 0, 0, false);
  });
  // Type of service 0x10 is priority 6.
  const std::string ping = "ip netns exec " + net_->left.name() + " ping -c 5 -i 0.02 -W 2 -m 4660 -Q 0x10 10.77.0.2";
  (void)shell(ping);
  ASSERT_EQ(good->count(), 5U);
  const std::string id = begin("latency_injection", {{"delay", "5ms"}}, "both", {{"protocol", "icmp"}});
  (void)shell(ping);
  EXPECT_EQ(Sums(daemon_->stop_scenario(id)).injected, 10U);
  EXPECT_EQ(good->count(), 10U);
  EXPECT_EQ(odd->count(), 0U) << "the mark that says where a packet comes from was left on it";
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

/// Frames with a VLAN tag, written and read by packet sockets.
class TaggedFrames {
 public:
  static constexpr std::uint16_t kType = 0x88b5;  // for experiments (IEEE 802)
  static constexpr std::uint16_t kTag = 3 << 13 | 5;

  explicit TaggedFrames(const VethPair& net) {
    net.left.run([&] { sender_ = open_on("l0"); });
    net.right.run([&] { receiver_ = open_on("r0"); });
    const int on = 1;
    setsockopt(receiver_.get(), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
  }
  void send() const {
    std::array<unsigned char, 64> frame{};
    std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
    frame[6] = 2;
    const std::array<unsigned char, 6> tagged{0x81, 0x00, kTag >> 8, kTag & 0xff, kType >> 8, kType & 0xff};
    std::ranges::copy(tagged, frame.begin() + 12);
    for (std::size_t i = 18; i < frame.size(); ++i) frame[i] = static_cast<unsigned char>(i);
    ASSERT_EQ(write(sender_.get(), frame.data(), frame.size()), static_cast<ssize_t>(frame.size()));
  }
  /// Waits for the next of ours; its tag, and whether the rest is as it was sent.
  std::pair<std::uint16_t, bool> receive() const {
    for (pollfd waiting{receiver_.get(), POLLIN, 0}; poll(&waiting, 1, 2000) > 0;) {
      std::array<unsigned char, 256> data{};
      alignas(cmsghdr) std::array<char, 256> control{};
      iovec part{data.data(), data.size()};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      if (recvmsg(receiver_.get(), &message, 0) < 60 || (data[12] << 8 | data[13]) != kType) continue;
      const cmsghdr* item = CMSG_FIRSTHDR(&message);
      tpacket_auxdata aux{};
      if (item != nullptr) std::memcpy(&aux, CMSG_DATA(item), sizeof aux);
      bool same = true;
      // The tag was taken out of the frame: what lay behind it comes four bytes earlier.
      for (std::size_t i = 18; i < 64; ++i) same = same && data[i - 4] == i;
      return {aux.tp_vlan_tci, same};
    }
    return {0, false};
  }

 private:
  static UniqueFd open_on(const char* device) {
    UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(if_nametoindex(device));
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) throw std::runtime_error("packet socket");
    return fd;
  }
  UniqueFd sender_;
  UniqueFd receiver_;
};

TEST_F(DelayLine, VlanTagsComeOutAsTheyWentIn) {
  const TaggedFrames frames(*net_);
  frames.send();
  ASSERT_EQ(frames.receive(), std::pair(TaggedFrames::kTag, true));
  // On its way out the tag lies in the frame, on its way in beside it.
  for (const bool out : {true, false}) {
    const json target = out ? json{{"netns", net_->left.name()}, {"interface", "l0"}, {"direction", "egress"}}
                            : json{{"netns", net_->right.name()}, {"interface", "r0"}, {"direction", "ingress"}};
    const std::string id = id_of(daemon_->run_scenario({{"kind", "latency_injection"},
                                                        {"target", target},
                                                        {"parameters", {{"delay", "100ms"}}},
                                                        {"duration", "120s"}}));
    const auto sent = steady_clock::now();
    frames.send();
    // A packet socket sees what arrives before it is held, and what is let go as well.
    if (!out) {
      EXPECT_EQ(frames.receive(), std::pair(TaggedFrames::kTag, true));
    }
    EXPECT_EQ(frames.receive(), std::pair(TaggedFrames::kTag, true)) << out;
    EXPECT_GE(steady_clock::now() - sent, milliseconds(100)) << out;
    EXPECT_GE(Sums(daemon_->stop_scenario(id)).injected, 1U);
  }
}

TEST_F(DelayLine, StoppedUnderLoadNothingIsLostAndNothingComesTwice) {
  const std::uint64_t softnet_before = softnet_drops();
  const std::string id = begin("latency_injection", {{"delay", "200ms"}});
  OrderedResult flow;
  std::thread traffic([&] {
    flow = run_ordered(*net_, {OrderedSpec{.packets = 30'000, .pace = std::chrono::microseconds(20)}}).front();
  });
  const bool underway =
      eventually([&] { return daemon_->scenario(id).at("counters").at("injected").get<std::uint64_t>() > 5000; });
  const json ended = daemon_->stop_scenario(id);
  traffic.join();
  EXPECT_TRUE(underway);
  const Sums sums(ended);
  EXPECT_GT(sums.injected, 5000U);
  EXPECT_EQ(sums.over_limit, 0U);
  // All that was held comes at once: what the receiver has no room for is the kernel's own loss.
  EXPECT_EQ(flow.received + flow.socket_drops + softnet_drops() - softnet_before, flow.sent);
  EXPECT_EQ(flow.repeated, 0U);
}

TEST_F(DelayLine, OneIsStoppedWhileAnotherIsFlooded) {
  const std::string flooded =
      begin("latency_injection", {{"delay", "1ms"}}, "egress", {{"protocol", "udp"}, {"port", "6000"}});
  const std::string other = begin("latency_injection", {{"delay", "1ms"}}, "egress", {{"protocol", "icmp"}});
  std::thread traffic(
      [&] { (void)run_ordered(*net_, {OrderedSpec{.packets = 1'000'000, .pace = std::chrono::microseconds(0)}}); });
  const bool underway = eventually(
      [&] { return daemon_->scenario(flooded).at("counters").at("injected").get<std::uint64_t>() > 50'000; });
  const auto asked = steady_clock::now();
  const json ended = daemon_->stop_scenario(other);
  const auto took = steady_clock::now() - asked;
  traffic.join();
  EXPECT_TRUE(underway);
  EXPECT_EQ(ended.value("state", ""), "completed");
  EXPECT_LT(took, std::chrono::seconds(2) * time_scale());
  EXPECT_TRUE(Sums(daemon_->stop_scenario(flooded)).closes());
}

TEST_F(DelayLine, StoppedWithDropInFlightWhatIsHeldIsDroppedAndCounted) {
  const std::string id = begin("latency_injection", {{"delay", "30s"}}, "egress", {{"protocol", "udp"}});
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 100, .patience = milliseconds(200)}}).front();
  EXPECT_EQ(flow.received, 0U);
  const Response stopped = daemon_->post("/api/chaos/scenarios/" + id + "/stop", {{"drop_in_flight", true}});
  ASSERT_EQ(stopped.status, 200) << stopped.text;
  EXPECT_EQ(stopped.body.at("achieved").value("discarded", ""), "100");
}

TEST_F(DelayLine, KilledWithPacketsInFlightThePathIsStraightAtOnce) {
  const std::string id = begin("latency_injection", {{"delay", "10s"}}, "both", {{"protocol", "udp"}});
  const auto held = run_ordered(*net_, {OrderedSpec{.packets = 10'000, .patience = milliseconds(100)}}).front();
  EXPECT_EQ(held.received, 0U);
  ASSERT_TRUE(
      eventually([&] { return daemon_->scenario(id).at("counters").at("injected").get<std::uint64_t>() == 10'000; }));
  const BpfObjects objects = bpf_objects_of(daemon_->pid());
  const auto killed = steady_clock::now();
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  const auto flow = run_ordered(*net_, {OrderedSpec{.source_port = 5555, .packets = 100}}).front();
  EXPECT_EQ(flow.received, 100U);
  std::printf("[ MEASURED ] 100 packets were through %.1f ms after the kill\n",
              std::chrono::duration<double, std::milli>(steady_clock::now() - killed).count());
  EXPECT_TRUE(eventually([&] { return still_there(objects).empty() && !lines_left(); }));
}

TEST_F(DelayLine, HungChaosdLosesItsLeaseAndThePathIsStraight) {
  const std::string id = begin("latency_injection", {{"delay", "500ms"}});
  daemon_->signal(SIGSTOP);
  EXPECT_TRUE(eventually(
      [&] { return try_shell("ip netns exec " + net_->left.name() + " ping -c 1 -W 1 10.77.0.2").status == 0; },
      milliseconds(3000)));
  daemon_->signal(SIGCONT);
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "lapsed");
  EXPECT_TRUE(eventually([&] { return !lines_left(); }));
  EXPECT_LT(least(round_trips("10.77.0.2")), 100.0 * time_scale());
}

TEST_F(DelayLine, ANamespaceThatEndsTakesTheLineAlong) {
  auto mortal = std::make_unique<VethPair>("mortal");
  const json started = daemon_->run_scenario({{"kind", "latency_injection"},
                                              {"target", {{"netns", mortal->left.name()}, {"interface", "l0"}}},
                                              {"parameters", {{"delay", "10ms"}}},
                                              {"duration", "120s"}});
  mortal.reset();
  EXPECT_EQ(wait_for_end(*daemon_, id_of(started)).value("end_reason", ""), "target_gone");
  EXPECT_EQ(daemon_->get("/api/chaos/residue").body.value("clean", false), true);
}

TEST_F(DelayLine, WhatTheSocketsOfACgroupSendIsHeldAndTheirNeighboursIsNot) {
  TestCgroup target("held");
  TestCgroup other("straight");
  const auto member = idle_process(target, net_->left);
  const json started = daemon_->run_scenario({{"kind", "latency_injection"},
                                              {"target", {{"cgroup", target.path()}, {"direction", "egress"}}},
                                              {"parameters", {{"delay", "100ms"}}},
                                              {"duration", "120s"}});
  const auto average = [&](const TestCgroup& cgroup) {
    const std::string text = shell_in(cgroup, net_->left, "ping -n -c 3 -i 0.05 10.77.0.2").output;
    const std::size_t at = text.find("min/avg/max/mdev = ");
    return at == std::string::npos ? -1.0 : std::strtod(text.c_str() + at + 19, nullptr);
  };
  EXPECT_GE(average(target), 100.0);
  EXPECT_LT(average(other), 50.0 * time_scale());
  EXPECT_EQ(Sums(daemon_->stop_scenario(started.at("id"))).injected, 3U);
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
  TestCgroup cgroup("refused");
  EXPECT_EQ(refusal({{"cgroup", cgroup.path()}}, {{"delay", "10ms"}}), expect(400, "target.direction"));
  EXPECT_FALSE(lines_left());
}

}  // namespace
}  // namespace chaos::test
