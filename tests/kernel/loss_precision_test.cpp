// packet_loss hits its target and nothing else: other ports, protected traffic and other owners' programs. Observers:
// sockets, AF_PACKET, BPF programs of the test's own.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include "kernel/bpf_compat.h"
#include "kernel/features.h"
#include "loss_support.h"
#include "support/counting_program.h"
#include "support/frames.h"
#include "support/udp.h"

namespace chaos::test {
namespace {

using nlohmann::json;

json total_loss(const VethPair& net, json filters = json::object()) {
  filters["netns"] = net.left.name();
  filters["interface"] = "l0";
  return {
      {"kind", "packet_loss"}, {"target", filters}, {"parameters", {{"probability", "100%"}}}, {"duration", "120s"}};
}

/// A listening TCP socket in the right namespace, and whether a connection to it completes within `limit`.
class TcpServer {
 public:
  TcpServer(const Namespace& ns, const std::string& address, std::uint16_t port) {
    ns.run([&] { open(address, port); });
  }
  [[nodiscard]] bool reachable_from(const Namespace& ns, std::chrono::milliseconds limit) const {
    bool connected = false;
    ns.run([&] {
      const UniqueFd fd(socket(address_.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      timeval timeout{.tv_sec = limit.count() / 1000, .tv_usec = limit.count() % 1000 * 1000};
      setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
      connected = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), length_) == 0;
    });
    return connected;
  }

 private:
  void open(const std::string& address, std::uint16_t port) {
    if (address.contains(':')) {
      address_.sin6_family = AF_INET6;
      address_.sin6_port = htons(port);
      inet_pton(AF_INET6, address.c_str(), &address_.sin6_addr);
      length_ = sizeof(address_);
    } else {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&address_);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      inet_pton(AF_INET, address.c_str(), &v4->sin_addr);
      length_ = sizeof(*v4);
    }
    fd_.reset(socket(address_.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&address_), length_) != 0 || listen(fd_.get(), 16) != 0) {
      throw std::runtime_error("listen on " + address);
    }
  }
  sockaddr_in6 address_{};
  socklen_t length_ = 0;
  UniqueFd fd_;
};

TEST(LossPrecision, OtherPortIsNeverHit) {
  const VethPair net("prec");
  const Daemon daemon;
  const json started = daemon.run_scenario(total_loss(net, {{"port", 6001}, {"protocol", "udp"}}));
  FlowSpec flow;
  flow.packets = full_size() ? 1'000'000 : 200'000;
  const FlowResult result = run_flows(net, {flow}).front();
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_EQ(result.sent, flow.packets);
  EXPECT_EQ(result.received + result.socket_drops, result.sent);
  EXPECT_EQ(sums.matched, 0U);
  EXPECT_GE(sums.unmatched, flow.packets);
  EXPECT_TRUE(sums.closes());
}

TEST(LossProtection, SshArpAndNeighbourDiscoveryPassUnderTotalLoss) {
  const VethPair net("ssh");
  const Daemon daemon;
  const TcpServer ssh4(net.right, "10.77.0.2", 22);
  const TcpServer ssh6(net.right, "fd77::2", 22);
  const TcpServer web(net.right, "10.77.0.2", 80);
  ASSERT_TRUE(web.reachable_from(net.left, std::chrono::seconds(2)));
  daemon.run_scenario(total_loss(net));
  // The neighbour tables are emptied, so that each connection needs ARP or ND first.
  net.left.command("ip neigh flush all");
  net.right.command("ip neigh flush all");
  EXPECT_TRUE(ssh4.reachable_from(net.left, std::chrono::seconds(3)));
  EXPECT_TRUE(ssh6.reachable_from(net.left, std::chrono::seconds(3)));
  EXPECT_FALSE(web.reachable_from(net.left, std::chrono::milliseconds(1500)));
}

TEST(LossProtection, DhcpAndMldPassUnderTotalLoss) {
  const VethPair net("dhcp");
  const Daemon daemon;
  std::unique_ptr<FrameSocket> wire;
  net.right.run([&] { wire = std::make_unique<FrameSocket>("r0"); });
  daemon.run_scenario(total_loss(net));
  net.left.run([&] {
    UdpSocket client("10.77.0.1", 68);
    client.connect("10.77.0.2", 67);
    client.send_numbers(0, 10);
    UdpSocket client6("fd77::1", 546);
    client6.connect("fd77::2", 547);
    client6.send_numbers(0, 10);
    UdpSocket other("10.77.0.1", 5000);
    other.connect("10.77.0.2", 6000);
    other.send_numbers(0, 10);
    // Joining a group makes the kernel send an MLD report.
    ipv6_mreq group{};
    inet_pton(AF_INET6, "ff05::1234", &group.ipv6mr_multiaddr);
    group.ipv6mr_interface = if_nametoindex("l0");
    ASSERT_EQ(setsockopt(client6.fd(), IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof(group)), 0);
  });
  std::uint64_t dhcp = 0;
  std::uint64_t dhcp6 = 0;
  std::uint64_t mld = 0;
  std::uint64_t others = 0;
  const auto classify = [&](std::span<const std::uint8_t> f) {
    const bool udp4 = ethertype_of(f) == 0x0800 && f.size() > 38 && f[23] == 17;
    const bool udp6 = ethertype_of(f) == 0x86dd && f.size() > 58 && f[20] == 17;
    if (udp4 && f[37] == 67) ++dhcp;
    if (udp4 && f[37] == (6000 & 0xff) && f[36] == 6000 >> 8) ++others;
    if (udp6 && f[57] == (547 & 0xff) && f[56] == 547 >> 8) ++dhcp6;
    // Hop-by-hop, then ICMPv6 type 143 (RFC 3810).
    if (ethertype_of(f) == 0x86dd && f.size() > 62 && f[20] == 0 && f[54] == 58 && f[62] == 143) ++mld;
    return false;
  };
  eventually([&] { return wire->count(classify), dhcp >= 10 && dhcp6 >= 10 && mld >= 1; }, std::chrono::seconds(5));
  EXPECT_EQ(dhcp, 10U);
  EXPECT_EQ(dhcp6, 10U);
  EXPECT_GE(mld, 1U);
  EXPECT_EQ(others, 0U);
}

TEST(LossPrecision, VlanTagsExtensionHeadersAndFragments) {
  const VethPair net("vlan");
  const Daemon daemon;
  std::unique_ptr<FrameSocket> wire;
  std::unique_ptr<FrameSocket> sender;
  net.right.run([&] { wire = std::make_unique<FrameSocket>("r0"); });
  net.left.run([&] { sender = std::make_unique<FrameSocket>("l0"); });
  const json started = daemon.run_scenario(total_loss(net, {{"port", 6000}, {"protocol", "udp"}}));
  const std::vector<VlanTag> single{{0x8100, 7}};
  const std::vector<VlanTag> twice{{0x88a8, 7}, {0x8100, 8}};
  for (const std::uint16_t port : {std::uint16_t{6000}, std::uint16_t{6001}}) {
    sender->send(udp_frame({}, 5000, port));
    sender->send(udp_frame(single, 5000, port));
    sender->send(udp_frame(twice, 5000, port));
    sender->send(udp6_extension_frame(5000, port));
  }
  std::uint64_t hit = 0;
  std::uint64_t passed = 0;
  const auto classify = [&](std::span<const std::uint8_t> f) {
    // The payload is 64 times 0x5a; the destination port lies 6 bytes before it.
    if (f.size() < 72 || f[f.size() - 1] != 0x5a) return false;
    const unsigned port = static_cast<unsigned>(f[f.size() - 70] << 8 | f[f.size() - 69]);
    hit += port == 6000 ? 1U : 0U;
    passed += port == 6001 ? 1U : 0U;
    return true;
  };
  eventually([&] { return wire->count(classify), passed >= 4; }, std::chrono::seconds(5));
  EXPECT_EQ(passed, 4U);
  EXPECT_EQ(hit, 0U);
  // Datagrams of three fragments: the first one carries the port, and without it no datagram is put together.
  for (const std::uint16_t port : {std::uint16_t{6000}, std::uint16_t{6001}}) {
    UdpSocket* receiver = nullptr;
    std::unique_ptr<UdpSocket> owned;
    net.right.run([&] { owned = std::make_unique<UdpSocket>("10.77.0.2", port); });
    receiver = owned.get();
    net.left.run([&] {
      UdpSocket out("10.77.0.1", 5000);
      out.connect("10.77.0.2", port);
      out.send_numbers(0, 20, 4000);
    });
    std::vector<bool> seen;
    std::uint64_t got = 0;
    eventually([&] { return (got += receiver->drain(seen)) >= 20; }, std::chrono::milliseconds(500));
    EXPECT_EQ(got, port == 6000 ? 0U : 20U) << "port " << port;
  }
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.matched, 4U + 20U);
  EXPECT_TRUE(sums.closes());
}

TEST(LossPrecision, LoopbackTrafficIsCountedOnce) {
  const Namespace ns("lo");
  const Daemon daemon;
  const json started = daemon.run_scenario({{"kind", "packet_loss"},
                                            {"target", {{"netns", ns.name()}, {"interface", "lo"}, {"port", 6000}}},
                                            {"parameters", {{"probability", "0%"}}},
                                            {"duration", "60s"}});
  ns.run([] {
    UdpSocket receiver("127.0.0.1", 6000);
    UdpSocket out("127.0.0.1", 5000);
    out.connect("127.0.0.1", 6000);
    out.send_numbers(0, 500);
    std::vector<bool> seen;
    EXPECT_EQ(receiver.drain(seen), 500U);
  });
  EXPECT_EQ(Sums(daemon.stop_scenario(started.at("id"))).matched, 500U);
}

TEST(LossNeighbours, OtherOwnersProgramsStillSeeEveryPacket) {
  const VethPair net("others");
  const Daemon daemon;
  const bool tcx = has_tcx();
  const CountingProgram behind;  // attached before ours, which goes to the head
  const CountingProgram ahead;   // attached after ours, at the head
  const CountingProgram classic_before;
  const CountingProgram classic_after;  // at a priority behind ours, where we are a classic filter too
  UniqueFd link_behind;
  UniqueFd link_ahead;
  net.left.run([&] {
    if (tcx) link_behind = std::move(*tcx_link_create(behind.fd(), if_nametoindex("l0"), true));
    classic_before.attach_classic("l0", Side::kEgress, 1);
  });
  const json started = daemon.run_scenario(total_loss(net, {{"port", 6001}, {"protocol", "udp"}}));
  net.left.run([&] {
    if (tcx) link_ahead = std::move(*tcx_link_create(ahead.fd(), if_nametoindex("l0"), true));
    classic_after.attach_classic("l0", Side::kEgress, 9);
  });
  std::vector<const CountingProgram*> others{&classic_before, &classic_after};
  if (tcx) others.insert(others.end(), {&behind, &ahead});
  std::vector<std::uint64_t> before;
  for (const CountingProgram* other : others) before.push_back(other->count());
  FlowSpec flow;
  flow.packets = 5000;
  const FlowResult result = run_flows(net, {flow}).front();
  EXPECT_EQ(result.received, flow.packets);
  for (std::size_t i = 0; i < others.size(); ++i) EXPECT_GE(others[i]->count() - before[i], flow.packets) << i;
  daemon.stop_scenario(started.at("id"));
  // Ours is gone and theirs are where they were.
  if (tcx) {
    EXPECT_TRUE(tcx_link_info(link_behind.get()).has_value());
  }
  const std::uint64_t after = classic_before.count();
  run_flows(net, {FlowSpec{.packets = 100}});
  EXPECT_GE(classic_before.count() - after, 100U);
}

}  // namespace
}  // namespace chaos::test
