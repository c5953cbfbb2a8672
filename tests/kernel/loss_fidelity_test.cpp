// Loss looks like the network's: senders are not told, receivers miss packets, TCP retransmits.
#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <sys/socket.h>

#include <regex>
#include <stdexcept>

#include "loss_support.h"
#include "support/child.h"
#include "support/udp.h"

namespace chaos::test {
namespace {

using nlohmann::json;

TEST(LossFidelity, UdpSenderIsNotTold) {
  const VethPair net("udp");
  const Daemon daemon;
  const json started =
      daemon.run_scenario({{"kind", "packet_loss"},
                           {"target", {{"netns", net.left.name()}, {"interface", "l0"}, {"direction", "egress"}}},
                           {"parameters", {{"probability", "5%"}}},
                           {"duration", "60s"}});
  std::unique_ptr<UdpSocket> receiver;
  net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", 6000); });
  std::uint64_t received = 0;
  constexpr std::uint64_t kPackets = 20'000;
  net.left.run([&] {
    UdpSocket sender("10.77.0.1", 5000);
    sender.report_errors();
    sender.connect("10.77.0.2", 6000);
    std::vector<bool> seen;
    for (std::uint64_t first = 0; first < kPackets; first += 1000) {
      const auto sent = sender.send_numbers(first, 1000);
      EXPECT_EQ(sent.refused, 0U) << "errno " << sent.last_errno;
      received += receiver->drain(seen);
    }
    char control[256];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    EXPECT_LT(recvmsg(sender.fd(), &message, MSG_ERRQUEUE | MSG_DONTWAIT), 0) << "an error was queued";
    eventually([&] { return (received += receiver->drain(seen)) >= kPackets; }, std::chrono::milliseconds(200));
  });
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_EQ(received + sums.injected + receiver->drops(), kPackets);
  EXPECT_LT(std::abs(deviation(kPackets - received - receiver->drops(), kPackets, 0.05)), 4.0);
}

/// Bulk TCP by iperf3 between the hosts while `ss -ti` is read; the largest total of retransmits that it showed.
unsigned retransmits_seen(const VethPair& net, const std::string& iperf_arguments) {
  const Child server("/bin/sh", {"sh", "-c",
                                 "exec nsenter --net=/run/netns/" + net.right.name() +
                                     " iperf3 -s -1 -p 5201 -B 10.77.0.2 --forceflush 2>&1"});
  for (std::string line = server.read_line(); !line.contains("Server listening"); line = server.read_line()) {
    if (!server.running()) throw std::runtime_error("the server: " + line);
  }
  const std::string client = "nsenter --net=/run/netns/" + net.left.name() + " iperf3 -c 10.77.0.2 -p 5201 " +
                             iperf_arguments + " > /dev/null 2>&1 & PID=$!; ";
  const std::string watch = "while kill -0 $PID 2>/dev/null; do nsenter --net=/run/netns/" + net.left.name() +
                            " ss -tiHn dst 10.77.0.2; done; wait $PID";
  const std::string output = shell(client + watch);
  unsigned most = 0;
  const std::regex pattern("retrans:[0-9]+/([0-9]+)");
  for (auto it = std::sregex_iterator(output.begin(), output.end(), pattern); it != std::sregex_iterator(); ++it) {
    most = std::max(most, static_cast<unsigned>(std::stoul((*it)[1])));
  }
  return most;
}

TEST(LossFidelity, TcpSenderShowsRetransmits) {
  const VethPair net("tcp");
  const Daemon daemon;
  const json started =
      daemon.run_scenario({{"kind", "packet_loss"},
                           {"target", {{"netns", net.left.name()}, {"interface", "l0"}, {"direction", "egress"}}},
                           {"parameters", {{"probability", "5%"}}},
                           {"duration", "60s"}});
  // By time, so that ss, slow on a busy machine, has looked near the end at least once.
  const unsigned retransmits = retransmits_seen(net, "-t 3 -b 50M");
  const std::uint64_t lost = daemon.stop_scenario(started.at("id")).at("counters").at("injected_segments");
  // Every lost segment is sent again; ss may miss the last of them. A busy machine adds a few of its own.
  EXPECT_GT(lost, 10U);
  EXPECT_GE(retransmits, lost / 2);
}

TEST(LossFidelity, RateHoldsForBulkTcpWithSegmentationOffload) {
  const VethPair net("tso");
  const Daemon daemon;
  const json started = daemon.run_scenario(
      {{"kind", "packet_loss"},
       {"target", {{"netns", net.left.name()}, {"interface", "l0"}, {"port", 5201}, {"direction", "egress"}}},
       {"parameters", {{"probability", "2%"}}},
       {"seed", "11"},
       {"duration", "60s"}});
  retransmits_seen(net, "-n 40M -C reno");
  const json ended = daemon.stop_scenario(started.at("id"));
  const Sums sums(ended);
  const std::uint64_t segments = ended.at("counters").at("matched_segments");
  const std::uint64_t lost_segments = ended.at("counters").at("injected_segments");
  ASSERT_GT(segments, sums.matched) << "no skb held more than one segment";
  EXPECT_LT(std::abs(deviation(sums.injected, sums.matched, 0.02)), 4.0);
  // One skb of up to 45 segments is lost as a whole: the variance of the share grows by the mean square of its size.
  const double share = static_cast<double>(lost_segments) / static_cast<double>(segments);
  const double sigma = std::sqrt(0.02 * 0.98 / static_cast<double>(segments) * 45);
  EXPECT_LT(std::abs(share - 0.02), 4 * sigma) << share;
  EXPECT_TRUE(sums.closes());
}

}  // namespace
}  // namespace chaos::test
