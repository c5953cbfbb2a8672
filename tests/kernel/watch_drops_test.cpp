// Drops by reason, injected ones told apart from natural ones, packet by packet. Observers: the sockets' own counts of
// what they lost for want of buffer (nstat(8)), what was sent and what arrived, nstat(8), the kernel's OOM counts.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "support/limited.h"
#include "support/outside.h"
#include "watch_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;

struct Sent {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t full = 0;  ///< lost by the receiving socket for want of buffer
};

class WatchDrops : public WatchBed {
 protected:
  /// Sends to a socket that has room for few and reads none meanwhile; both sockets are the watched cgroup's.
  Sent flood(bool six, std::uint64_t packets, std::size_t size) {
    const std::string from = six ? "fd77::1" : "10.77.0.1";
    const std::string to = six ? "fd77::2" : "10.77.0.2";
    std::unique_ptr<UdpSocket> sender;
    std::unique_ptr<UdpSocket> receiver;
    watched_->run([&] {
      net_->right.run([&] { receiver = std::make_unique<UdpSocket>(to, 6000); });
      net_->left.run([&] { sender = std::make_unique<UdpSocket>(from, 5000); });
    });
    const int small = 64 * 1024;
    setsockopt(receiver->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    sender->connect(to, 6000);
    const std::string full = six ? "Udp6RcvbufErrors" : "UdpRcvbufErrors";
    const std::uint64_t full_before = nstat(net_->right, full);
    Sent result;
    result.sent = sender->send_numbers(0, packets, size).accepted;
    // A veth hands packets over by softirq: until the count stands still.
    std::uint64_t before = 0;
    do {
      before = receiver->drops();
    } while (eventually([&] { return receiver->drops() > before; }, std::chrono::milliseconds(200)));
    result.full = nstat(net_->right, full) - full_before;
    std::vector<bool> seen;
    result.received = receiver->drain(seen);
    return result;
  }

  /// `direction` of a scenario on `target`, with a full socket behind it.
  void told_apart(const json& loss_target, bool six, std::size_t size) {
    SCOPED_TRACE(loss_target.dump() + (six ? ", IPv6, " : ", IPv4, ") + std::to_string(size) + " bytes");
    const bool receivers = has_feature("drop_receivers");
    const json host_before = look("drops");
    const json before = look("drops", target());
    const json started = daemon_.run_scenario({{"kind", "packet_loss"},
                                               {"target", loss_target},
                                               {"parameters", {{"probability", "30%"}}},
                                               {"duration", "60s"}});
    const Sent sent = flood(six, 3000, size);
    const Sums sums(daemon_.stop_scenario(started.at("id")));
    const json after = look("drops", target());
    const json host_after = look("drops");
    const auto grown = [&](const char* key) {
      return host_after.at(key).get<std::uint64_t>() - host_before.at(key).get<std::uint64_t>();
    };

    ASSERT_GT(sent.full, 100U) << "the socket was never full";
    ASSERT_GT(sums.injected, 100U);
    // What chaosd took, by its own counters and by what the kernel dropped with its mark: of this chaosd alone, so
    // exact for the whole host.
    EXPECT_EQ(grown("injected"), sums.injected);
    EXPECT_EQ(grown("delay_line"), 0U);
    // What the full socket lost, by the socket and by the kernel's reason.
    const json& with_receiver = receivers ? after : host_after;
    const json& with_receiver_before = receivers ? before : host_before;
    EXPECT_EQ(drops_of(with_receiver, "SOCKET_RCVBUFF", "natural") -
                  drops_of(with_receiver_before, "SOCKET_RCVBUFF", "natural"),
              sent.full);
    EXPECT_EQ(drops_of(after, "SOCKET_RCVBUFF", "injected"), 0U);
    EXPECT_EQ(after.at("missed"), 0U);
    // Nothing else is lost on this path: what was sent has arrived, or is in one of the two.
    if (size < 1400) {
      EXPECT_EQ(sent.sent, sent.received + sent.full + sums.injected);
    }
  }

  [[nodiscard]] json interface_target(const char* direction) const {
    const bool egress = std::string_view(direction) == "egress";
    return {{"netns", egress ? net_->left.name() : net_->right.name()},
            {"interface", egress ? "l0" : "r0"},
            {"protocol", "udp"},
            {"direction", direction}};
  }
};

// Issue 9, "Done when" 4.
TEST_F(WatchDrops, LossAtEgressAndAFullSocketAreToldApartExactly) {
  for (const bool six : {false, true}) told_apart(interface_target("egress"), six, 200);
}

TEST_F(WatchDrops, LossAtIngressAndAFullSocketAreToldApartExactly) {
  for (const bool six : {false, true}) told_apart(interface_target("ingress"), six, 200);
}

TEST_F(WatchDrops, LossAtTheTargetsSocketsAndAFullOneAreToldApartExactly) {
  for (const bool six : {false, true}) {
    told_apart({{"cgroup", watched_->path()}, {"protocol", "udp"}, {"direction", "ingress"}}, six, 200);
  }
}

// Put together from fragments, each of which the kernel frees, and tells, with the packet.
TEST_F(WatchDrops, FragmentsAreNoDropsOfTheirOwn) {
  for (const bool six : {false, true}) {
    told_apart({{"cgroup", watched_->path()}, {"protocol", "udp"}, {"direction", "ingress"}}, six, 6000);
  }
}

TEST_F(WatchDrops, OfATargetWhatItSendsIsCountedAndItsNeighboursIsNot) {
  TestCgroup other("other");
  const json before = look("drops", target());
  const json started = daemon_.run_scenario({{"kind", "packet_loss"},
                                             {"target", interface_target("egress")},
                                             {"parameters", {{"probability", "100%"}}},
                                             {"duration", "60s"}});
  FlowSpec mine{.packets = 700};
  mine.sender_cgroup = &*watched_;
  FlowSpec others{.source_port = 5001, .port = 6001, .packets = 500};
  others.sender_cgroup = &other;
  EXPECT_EQ(run_flows(*net_, {mine}).front().received, 0U);
  EXPECT_EQ(run_flows(*net_, {others}).front().received, 0U);
  EXPECT_EQ(Sums(daemon_.stop_scenario(started.at("id"))).injected, 1200U);
  const json after = look("drops", target());
  EXPECT_EQ(after.at("injected").get<std::uint64_t>() - before.at("injected").get<std::uint64_t>(), 700U);
  EXPECT_EQ(after.at("scope"), "cgroup " + watched_->path());
}

TEST_F(WatchDrops, APortThatNobodyHasIsAReasonOfItsOwnAndAsOftenAsNstatSays) {
  const json before = look("drops");
  const json target_before = look("drops", target());
  const std::uint64_t ports_before = nstat(net_->right, "UdpNoPorts");
  net_->left.run([] {
    UdpSocket sender("10.77.0.1", 5000);
    sender.connect("10.77.0.2", 6999);
    // The answer to one is an error of the next.
    (void)sender.send_numbers(0, 400);
  });
  std::uint64_t ports = 0;
  ASSERT_TRUE(eventually([&] { return (ports = nstat(net_->right, "UdpNoPorts") - ports_before) > 0; }));
  const json after = look("drops");
  // Others on this host may lose packets for the same reason meanwhile.
  EXPECT_GE(drops_of(after, "NO_SOCKET", "natural") - drops_of(before, "NO_SOCKET", "natural"), ports);
  EXPECT_EQ(drops_of(after, "NO_SOCKET", "injected"), 0U);
  // Of a target these are anybody's.
  const auto unowned = [](const json& report) {
    return report.at("without_socket").at("natural").get<std::uint64_t>();
  };
  EXPECT_GE(unowned(look("drops", target())) - unowned(target_before), ports);
  EXPECT_TRUE(eventually([&] {
    return series_value(daemon_, "chaosd_skb_drops_without_socket_total",
                        {{"scope", "cgroup " + watched_->path()}, {"origin", "natural"}}) >= static_cast<double>(ports);
  }));
}

std::optional<std::uint64_t> oom_kills_of(std::istream&& text) {
  std::string name;
  for (std::uint64_t value = 0; text >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
}

/// The host's; on a kernel that does not count them, those of the cgroup.
std::uint64_t oom_kills(const LimitedCgroup& limited) {
  if (const auto host = oom_kills_of(std::ifstream("/proc/vmstat"))) return *host;
  const auto own =
      oom_kills_of(std::istringstream(limited.value(limited.v2() ? "memory.events" : "memory.oom_control")));
  if (!own) throw std::runtime_error("this kernel tells of no oom_kill");
  return *own;
}

TEST_F(WatchDrops, AProcessKilledForWantOfMemoryIsCounted) {
  const LimitedCgroup limited("memory");
  limited.set(limited.v2() ? "memory.max" : "memory.limit_in_bytes", "33554432");
  const std::string mine = "cgroup=" + limited.cgroup().path();
  const json before = look("drops");
  const json mine_before = look("drops", mine);
  const json others_before = look("drops", target());
  const std::uint64_t killed_before = oom_kills(limited);
  Child glutton("/bin/sh", {"sh", "-c", "read go && head -c 200000000 /dev/zero | tail -n 1 >/dev/null; echo over"});
  limited.add(glutton.pid());
  glutton.write_line("go");
  (void)glutton.read_line();
  const json after = look("drops");
  const std::uint64_t kills = after.at("oom_kills").get<std::uint64_t>() - before.at("oom_kills").get<std::uint64_t>();
  EXPECT_GE(kills, 1U);
  EXPECT_EQ(kills, oom_kills(limited) - killed_before);
  EXPECT_EQ(look("drops", target()).at("oom_kills"), others_before.at("oom_kills"));
  const json mine_after = look("drops", mine);
  if (mine_after.at("notes").empty()) {
    EXPECT_EQ(mine_after.at("oom_kills").get<std::uint64_t>() - mine_before.at("oom_kills").get<std::uint64_t>(),
              kills);
  }
}

}  // namespace
}  // namespace chaos::test
