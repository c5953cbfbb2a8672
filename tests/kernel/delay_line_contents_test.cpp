// What a delay line gives back is what it took: marks, priorities, tags. Observers: somebody else's classic filters,
// and packet sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <tuple>

#include "delay_line_bed.h"
#include "support/counting_program.h"
#include "support/received_message.h"
#include "support/udp.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST_F(DelayLine, MarksAndPrioritiesComeOutAsTheyWentIn) {
  const CountingProgram good({{offsetof(__sk_buff, mark), 0x1234}, {offsetof(__sk_buff, priority), 6}});
  const CountingProgram odd({{offsetof(__sk_buff, mark), 0, false}});
  net_->left.run([&] {
    good.attach_classic("l0", Side::kEgress, 9);
    odd.attach_classic("l0", Side::kIngress, 9);
  });
  // Type of service 0x10 is priority 6.
  const std::string ping = "ip netns exec " + net_->left.name() + " ping -c 5 -i 0.02 -W 2 -m 4660 -Q 0x10 10.77.0.2";
  (void)shell(ping);
  ASSERT_EQ(good.count(), 5U);
  const std::string id = begin("latency_injection", {{"delay", "5ms"}}, "both", {{"protocol", "icmp"}});
  (void)shell(ping);
  EXPECT_EQ(Sums(daemon_->stop_scenario(id)).injected, 10U);
  EXPECT_EQ(good.count(), 10U);
  EXPECT_EQ(odd.count(), 0U) << "the mark that says where a packet comes from was left on it";
}

/// Sends a datagram with that type of service and returns the one that it comes with; -1 if it does not come.
int service_type_across(const VethPair& net, bool six, bool reverse, int type) {
  const auto& [near, far] = reverse ? std::tie(net.right, net.left) : std::tie(net.left, net.right);
  const std::string to = reverse ? (six ? "fd77::1" : "10.77.0.1") : (six ? "fd77::2" : "10.77.0.2");
  const int level = six ? IPPROTO_IPV6 : IPPROTO_IP;
  int came = -1;
  std::unique_ptr<UdpSocket> receiver;
  far.run([&] { receiver = std::make_unique<UdpSocket>(to, 6200); });
  const int on = 1;
  if (setsockopt(receiver->fd(), level, six ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof on) != 0) return -1;
  near.run([&] {
    UdpSocket sender(six ? "::" : "0.0.0.0", 6201);
    if (setsockopt(sender.fd(), level, six ? IPV6_TCLASS : IP_TOS, &type, sizeof type) != 0) return;
    sender.connect(to, 6200);
    (void)sender.send_numbers(0, 1);
    const auto message = ReceivedMessage::wait(receiver->fd(), milliseconds(2000));
    if (!message) return;
    came = six ? message->control<int>(level, IPV6_TCLASS).value_or(-1)
               : message->control<std::uint8_t>(level, IP_TOS).value_or(0);
  });
  return came;
}

TEST_F(DelayLine, TypesOfServiceWithTheirEcnBitsComeOutAsTheyWentIn) {
  const std::string id = begin("latency_injection", {{"delay", "5ms"}}, "both", {{"protocol", "udp"}});
  for (const bool six : {false, true}) {
    for (const bool reverse : {false, true}) {
      // Not capable, ECT(1), ECT(0), congestion experienced; and with a class beside it.
      for (const int type : {0, 1, 2, 3, 0xb8 | 1, 0x28 | 3}) {
        EXPECT_EQ(service_type_across(*net_, six, reverse, type), type) << six << reverse;
      }
    }
  }
  EXPECT_EQ(Sums(daemon_->stop_scenario(id)).injected, 24U);
}

TEST_F(DelayLine, TcpThatAgreedOnEcnKeepsIt) {
  for (const auto* ns : {&net_->left, &net_->right}) (void)ns->command("sysctl -q -w net.ipv4.tcp_ecn=1");
  const std::string id = begin("latency_injection", {{"delay", "5ms"}}, "both");
  const Outcome run = transfer_megabytes(*net_, 32);
  ASSERT_EQ(run.status, 0) << run.output;
  EXPECT_GT(Sums(daemon_->stop_scenario(id)).injected, 100U);
  // 32 MiB in packets of 64 KiB at most.
  EXPECT_GE(counter_of(net_->right, "IpExtInECT0Pkts"), 500U);
  EXPECT_EQ(counter_of(net_->right, "IpExtInCEPkts"), 0U);
  EXPECT_EQ(counter_of(net_->right, "IpExtInECT1Pkts"), 0U);
  EXPECT_EQ(counter_of(net_->right, "TcpInCsumErrors"), 0U);
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
    while (const auto message = ReceivedMessage::wait(receiver_.get(), milliseconds(2000))) {
      const auto data = message->data();
      if (data.size() < 60 || (data[12] << 8 | data[13]) != kType) continue;
      const auto aux = message->control<tpacket_auxdata>(SOL_PACKET, PACKET_AUXDATA);
      bool same = true;
      // The tag was taken out of the frame: what lay behind it comes four bytes earlier.
      for (std::size_t i = 18; i < 64; ++i) same = same && data[i - 4] == i;
      return {aux ? aux->tp_vlan_tci : std::uint16_t{0}, same};
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

}  // namespace
}  // namespace chaos::test
