// Kinds that hold packets, for targets by socket: what those send and what arrives for them is held, and what their
// neighbours on the same interface and ports send and get is not, nor what is only on its way through the host.
// Observers: sockets' own clocks, ping.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "delay_line_bed.h"
#include "puppet.h"
#include "support/connecting.h"
#include "support/time_scale.h"
#include "support/udp.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr const char* kLeft[]{"10.77.0.1", "fd77::1"};
constexpr std::uint16_t kClientPort = 40'000;
constexpr double kHeld = 100;

void wait_readable(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  if (poll(&waiting, 1, 10'000) != 1) throw std::runtime_error("nothing came");
}

/// How long a TCP server's host takes to hear of a connection, and then of a byte on it. The client's port is always
/// the same.
struct TcpTimes {
  double connect_ms = 0;  ///< until the client has an answer
  double byte_ms = 0;     ///< until the server has it
};

TcpTimes time_tcp(const Namespace& client_in, int listener, const std::string& address, std::uint16_t port) {
  TcpTimes times;
  client_in.run([&] {
    const Address from(address.contains(':') ? "::" : "0.0.0.0", kClientPort);
    const Address to(address, port);
    const UniqueFd client(socket(from.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(client.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // A reset at the end leaves the port free for the next.
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (bind(client.get(), from.get(), from.size) != 0) throw std::runtime_error("bind the client");
    const auto began = steady_clock::now();
    if (connect(client.get(), to.get(), to.size) != 0) throw std::runtime_error("connect to " + address);
    times.connect_ms = ms_since(began);
    wait_readable(listener);
    const UniqueFd served(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    const auto sent = steady_clock::now();
    if (send(client.get(), "x", 1, MSG_NOSIGNAL) != 1) throw std::runtime_error("send");
    wait_readable(served.get());
    times.byte_ms = ms_since(sent);
  });
  return times;
}

/// Until a datagram of the right host's port 40000 is there.
double time_udp(const VethPair& net, const UdpSocket& receiver, bool six, std::uint16_t port) {
  double took = 0;
  net.right.run([&] {
    UdpSocket sender(six ? "fd77::2" : "10.77.0.2", kClientPort);
    sender.connect(kLeft[six ? 1 : 0], port);
    const auto sent = steady_clock::now();
    (void)sender.send_numbers(0, 1);
    wait_readable(receiver.fd());
    took = ms_since(sent);
  });
  std::vector<bool> seen;
  (void)const_cast<UdpSocket&>(receiver).drain(seen);
  return took;
}

class HeldTargets : public DelayLine {
 protected:
  void SetUp() override {
    DelayLine::SetUp();
    if (IsSkipped()) return;
    target_ = std::make_unique<TestCgroup>("held");
    other_ = std::make_unique<TestCgroup>("straight");
    member_ = idle_process(*target_, net_->left);
  }
  std::string hold(json target, json parameters = {{"delay", "100ms"}}, const char* kind = "latency_injection") {
    return id_of(daemon_->run_scenario({{"kind", kind},
                                        {"target", std::move(target)},
                                        {"parameters", std::move(parameters)},
                                        {"seed", "7"},
                                        {"duration", "120s"}}));
  }
  [[nodiscard]] UniqueFd listen_as(const TestCgroup& cgroup, std::uint16_t port) const {
    UniqueFd fd;
    cgroup.run([&] { fd = listen_in(net_->left, port); });
    return fd;
  }
  [[nodiscard]] std::unique_ptr<UdpSocket> udp_as(const TestCgroup& cgroup, bool six, std::uint16_t port) const {
    std::unique_ptr<UdpSocket> made;
    cgroup.run([&] { net_->left.run([&] { made = std::make_unique<UdpSocket>(kLeft[six ? 1 : 0], port); }); });
    return made;
  }
  [[nodiscard]] double ping_of(const TestCgroup& cgroup, const std::string& address) const {
    const std::string text = shell_in(cgroup, net_->left, "ping -n -c 3 -i 0.05 " + address).output;
    const std::size_t at = text.find("min/avg/max/mdev = ");
    return at == std::string::npos ? -1.0 : std::strtod(text.c_str() + at + 19, nullptr);
  }
  /// What is straight takes less.
  [[nodiscard]] static double soon() { return kHeld / 2 * std::min(time_scale(), 1.9); }

  std::unique_ptr<TestCgroup> target_;
  std::unique_ptr<TestCgroup> other_;
  std::unique_ptr<Child> member_;
};

TEST_F(HeldTargets, WhatACgroupSendsIsHeldAndItsNeighboursSendingIsNot) {
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "egress"}});
  EXPECT_GE(ping_of(*target_, "10.77.0.2"), kHeld);
  EXPECT_LT(ping_of(*other_, "10.77.0.2"), soon());
  EXPECT_EQ(Sums(daemon_->stop_scenario(id)).injected, 3U);
}

TEST_F(HeldTargets, TcpThatArrivesForACgroupIsHeldAndForItsNeighbourWithTheSamePeerNot) {
  const UniqueFd listener = listen_as(*target_, 7001);
  const UniqueFd beside = listen_as(*other_, 7002);
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "ingress"}});
  for (const char* address : kLeft) {
    const TcpTimes held = time_tcp(net_->right, listener.get(), address, 7001);
    EXPECT_GE(held.connect_ms, kHeld) << address << ": the listener's";
    EXPECT_GE(held.byte_ms, kHeld) << address << ": the connection's";
    const TcpTimes spared = time_tcp(net_->right, beside.get(), address, 7002);
    EXPECT_LT(spared.connect_ms, soon()) << address;
    EXPECT_LT(spared.byte_ms, soon()) << address;
  }
  const Sums sums(daemon_->stop_scenario(id));
  // Of each connection: its first packet, an acknowledgement, the byte; the reset may come after the stop.
  EXPECT_GE(sums.injected, 6U);
  EXPECT_LE(sums.injected, 8U);
  EXPECT_TRUE(sums.closes());
  EXPECT_LT(time_tcp(net_->right, listener.get(), kLeft[0], 7001).connect_ms, soon());
}

TEST_F(HeldTargets, UdpThatArrivesForACgroupIsHeldAndForItsNeighbourWithTheSamePeerNot) {
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "ingress"}});
  for (const bool six : {false, true}) {
    const auto receiver = udp_as(*target_, six, 7101);
    const auto beside = udp_as(*other_, six, 7102);
    EXPECT_GE(time_udp(*net_, *receiver, six, 7101), kHeld) << six;
    EXPECT_LT(time_udp(*net_, *beside, six, 7102), soon()) << six;
  }
  const Sums sums(daemon_->stop_scenario(id));
  EXPECT_EQ(sums.injected, 2U);
  EXPECT_TRUE(sums.closes());
}

/// Until a process has the answer to a datagram that it sends by its descriptor 7.
double answer_ms(const UdpSocket& peer, Puppet& puppet) {
  if (puppet.tell("echo -n x >&7") != 0) throw std::runtime_error("the puppet cannot send");
  wait_readable(peer.fd());
  std::array<char, 16> data{};
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  auto* address = reinterpret_cast<sockaddr*>(&from);
  const ssize_t got = recvfrom(peer.fd(), data.data(), data.size(), 0, address, &size);
  const auto began = steady_clock::now();
  if (got < 1 || sendto(peer.fd(), "y", 1, 0, address, size) != 1) throw std::runtime_error("answer");
  if (puppet.tell("read -r -n 1 -t 5 -u 7 answer") != 0) throw std::runtime_error("no answer came");
  return ms_since(began);
}

TEST_F(HeldTargets, WhatArrivesBySocketsThatAnotherCgroupMadeIsHeldAndByWhatThatKeptNot) {
  std::unique_ptr<UdpSocket> peer;
  net_->right.run([&] { peer = std::make_unique<UdpSocket>("10.77.0.2", kCounterPort); });
  Puppet moved(net_->left);
  Puppet stays(net_->left);
  for (Puppet* puppet : {&moved, &stays}) {
    other_->add(puppet->pid());
    ASSERT_EQ(puppet->tell("exec 7<>/dev/udp/10.77.0.2/" + std::to_string(kCounterPort)), 0);
  }
  target_->add(moved.pid());
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "ingress"}});
  EXPECT_GE(answer_ms(*peer, moved), kHeld);
  EXPECT_LT(answer_ms(*peer, stays), soon());
  const Sums sums(daemon_->stop_scenario(id));
  EXPECT_EQ(sums.injected, 1U);
  EXPECT_TRUE(sums.closes());
}

TEST_F(HeldTargets, BothWaysEachIsHeldOnce) {
  const UniqueFd listener = listen_as(*target_, 7001);
  const std::string id = hold({{"cgroup", target_->path()}});
  const TcpTimes held = time_tcp(net_->right, listener.get(), kLeft[0], 7001);
  EXPECT_GE(held.connect_ms, 2 * kHeld);
  EXPECT_LT(held.connect_ms, 3 * kHeld * time_scale());
  // An echo's request leaves by a socket; its answer is no TCP or UDP.
  const double ping = ping_of(*target_, "10.77.0.2");
  EXPECT_GE(ping, kHeld);
  EXPECT_LT(ping, 2 * kHeld);
  EXPECT_THAT(daemon_->scenario(id).at("plan").at("notes").dump(), HasSubstr("TCP or UDP socket"));
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

TEST_F(HeldTargets, WhatArrivesForAProcessOrAUserIsHeldAndForOthersNot) {
  const auto serve = [&](const std::string& prefix, const char* port) {
    auto server = std::make_unique<Child>(
        "/bin/sh", std::vector<std::string>{"sh", "-c",
                                            "exec nsenter --net=/run/netns/" + net_->left.name() + " " + prefix +
                                                "iperf3 -s -p " + port + " --forceflush 2>&1"});
    EXPECT_THAT(server->read_line() + server->read_line(), HasSubstr("Server listening"));
    return server;
  };
  // It listens anew after each connection, and refuses in between.
  const auto connect = [&](const Child& server, const char* address, std::uint16_t port) {
    const double took = connect_ms(net_->right, address, port);
    std::string line = server.read_line();
    while (!line.empty() && !line.contains("Server listening")) line = server.read_line();
    return took;
  };
  const auto meant = serve("setpriv --reuid=4711 --clear-groups ", "7201");
  const auto beside = serve("", "7202");
  const std::string netns = net_->left.name();
  const std::vector<json> targets{{{"pid", std::to_string(meant->pid())}, {"direction", "ingress"}},
                                  {{"netns", netns}, {"uid", "4711"}, {"direction", "ingress"}},
                                  {{"netns", netns}, {"interface", "l0"}, {"uid", "4711"}, {"direction", "ingress"}}};
  for (const json& target : targets) {
    const std::string id = hold(target);
    for (const char* address : kLeft) {
      EXPECT_GE(connect(*meant, address, 7201), kHeld) << target << " " << address;
      EXPECT_LT(connect(*beside, address, 7202), soon()) << target << " " << address;
    }
    EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
  }
}

TEST_F(HeldTargets, OfAUserNamespacesNetworkTheUserIsTheOneThatItHasThere) {
  const Child inside("/bin/sh", {"sh", "-c",
                                 "exec setpriv --reuid=4711 --regid=4711 --clear-groups unshare --user --map-root-user "
                                 "--net sh -c 'echo ready; read -r line'"});
  ASSERT_EQ(inside.read_line(), "ready");
  const std::string pid = std::to_string(inside.pid());
  const std::string outer = net_->right.name();
  (void)shell("ip -n " + outer + " link add u0 type veth peer name u1 && ip -n " + outer + " link set u1 netns " + pid +
              " && ip -n " + outer + " address add 10.78.0.2/24 dev u0 && ip -n " + outer + " link set u0 up");
  const std::string enter = "nsenter -t " + pid + " -U -n --preserve-credentials ";
  (void)shell("nsenter -t " + pid + " -n sh -c 'ip address add 10.78.0.1/24 dev u1 && ip link set u1 up'");
  const Child server("/bin/sh", {"sh", "-c",
                                 "exec setpriv --reuid=4711 --regid=4711 --clear-groups " + enter +
                                     "iperf3 -s -p 7301 --forceflush 2>&1"});
  ASSERT_THAT(server.read_line() + server.read_line(), HasSubstr("Server listening"));
  std::string id = hold({{"netns", pid}, {"uid", "0"}, {"direction", "ingress"}});
  EXPECT_GE(connect_ms(net_->right, "10.78.0.1", 7301), kHeld);
  (void)daemon_->stop_scenario(id);
  id = hold({{"netns", pid}, {"uid", "4711"}, {"direction", "ingress"}});
  EXPECT_LT(connect_ms(net_->right, "10.78.0.1", 7301), soon());
  EXPECT_EQ(Sums(daemon_->stop_scenario(id)).injected, 0U);
}

/// A third host behind the left one, 10.79.0.2 and fd79::2, which the right one reaches through it.
class Behind {
 public:
  explicit Behind(const VethPair& net) {
    const std::string left = "ip -n " + net.left.name() + " ";
    const std::string right = "ip -n " + net.right.name() + " ";
    const std::string third = "ip -n " + third_.name() + " ";
    (void)shell(left + "link add t0 type veth peer name t1 && " + left + "link set t1 netns " + third_.name() + " && " +
                left + "address add 10.79.0.1/24 dev t0 && " + left + "address add fd79::1/64 dev t0 nodad && " + left +
                "link set t0 up");
    (void)shell(third + "address add 10.79.0.2/24 dev t1 && " + third + "address add fd79::2/64 dev t1 nodad && " +
                third + "link set t1 up && " + third + "route add default via 10.79.0.1 && " + third +
                "route add default via fd79::1");
    (void)shell(right + "route add 10.79.0.0/24 via 10.77.0.1 && " + right + "route add fd79::/64 via fd77::1");
    (void)net.left.command("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  }
  [[nodiscard]] const Namespace& host() const { return third_; }

 private:
  Namespace third_{"behind"};
};

TEST_F(HeldTargets, WhatIsForwardedIsNobodysThoughAListenerOnAllAddressesHasItsPort) {
  const Behind behind(*net_);
  const UniqueFd here = listen_as(*target_, 7001);
  UniqueFd there = listen_in(behind.host(), 7001);
  ASSERT_TRUE(eventually([&] {
    return try_shell("ip netns exec " + net_->right.name() + " ping -c 1 -W 1 fd79::2").status == 0 &&
           try_shell("ip netns exec " + net_->right.name() + " ping -c 1 -W 1 10.79.0.2").status == 0;
  }));
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "ingress"}});
  for (const char* address : {"10.79.0.2", "fd79::2"}) {
    const TcpTimes through = time_tcp(net_->right, there.get(), address, 7001);
    EXPECT_LT(through.connect_ms, soon()) << address;
    EXPECT_LT(through.byte_ms, soon()) << address;
  }
  EXPECT_EQ(daemon_->scenario(id).at("counters").at("injected"), 0);
  for (const char* address : kLeft) {
    EXPECT_GE(time_tcp(net_->right, here.get(), address, 7001).connect_ms, kHeld) << address;
  }
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

TEST_F(HeldTargets, BehindABridgeItIsHeldOnceAndWhatTheBridgePassesOnIsNot) {
  const Namespace third("bridged");
  const std::string left = "ip -n " + net_->left.name() + " ";
  (void)shell(left + "link add br0 type bridge && " + left + "link set l0 master br0 && " + left +
              "address flush dev l0 && " + left + "address add 10.77.0.1/24 dev br0 && " + left +
              "address add fd77::1/64 dev br0 nodad && " + left + "link set br0 up && " + left +
              "link add t0 type veth peer name t1 && " + left + "link set t0 master br0 up && " + left +
              "link set t1 netns " + third.name() + " && ip -n " + third.name() +
              " address add 10.77.0.3/24 dev t1 && ip -n " + third.name() + " link set t1 up");
  const UniqueFd here = listen_as(*target_, 7001);
  const UniqueFd there = listen_in(third, 7001);
  ASSERT_TRUE(eventually([&] {
    return try_shell("ip netns exec " + net_->right.name() + " ping -c 1 -W 1 10.77.0.3").status == 0 &&
           try_shell("ip netns exec " + net_->right.name() + " ping -c 1 -W 1 fd77::1").status == 0;
  }));
  const std::string id = hold({{"cgroup", target_->path()}, {"direction", "ingress"}});
  EXPECT_LT(time_tcp(net_->right, there.get(), "10.77.0.3", 7001).connect_ms, soon());
  EXPECT_EQ(daemon_->scenario(id).at("counters").at("injected"), 0);
  for (const char* address : kLeft) {
    const TcpTimes held = time_tcp(net_->right, here.get(), address, 7001);
    EXPECT_GE(held.connect_ms, kHeld) << address;
    EXPECT_LT(held.connect_ms, 2 * kHeld) << address << ": held at the port as well";
  }
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

TEST_F(HeldTargets, LoopbackStaysStraightWhenTheTargetIsLookedAtAnew) {
  const std::string id = hold({{"cgroup", target_->path()}});
  // An interface that comes later is covered: the target has been looked at since.
  const std::string left = "ip -n " + net_->left.name() + " ";
  const std::string right = "ip -n " + net_->right.name() + " ";
  (void)shell(left + "link add late0 type veth peer name late1 && " + left + "link set late1 netns " +
              net_->right.name() + " && " + left + "address add 10.78.0.1/24 dev late0 && " + left +
              "link set late0 up && " + right + "address add 10.78.0.2/24 dev late1 && " + right + "link set late1 up");
  EXPECT_TRUE(eventually([&] { return ping_of(*target_, "10.78.0.2") >= kHeld; }));
  const double own = ping_of(*target_, "127.0.0.1");
  EXPECT_GE(own, 0) << "lost";
  EXPECT_LT(own, soon());
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

TEST_F(HeldTargets, OtherKindsThatHoldTakeWhatArrivesAsWell) {
  const auto receiver = udp_as(*target_, false, 7101);
  const auto beside = udp_as(*other_, false, 7102);
  const auto send_to = [&](std::uint16_t port) {
    net_->right.run([&] {
      UdpSocket sender("10.77.0.2", kClientPort);
      sender.connect(kLeft[0], port);
      EXPECT_EQ(sender.send_numbers(0, 50).accepted, 50U);
    });
  };
  const auto got = [](UdpSocket& socket, std::uint64_t expected) {
    std::uint64_t all = 0;
    std::vector<bool> seen;
    eventually([&] { return (all += socket.drain(seen)) > expected; }, std::chrono::milliseconds(500));
    return all;
  };
  const json target{{"cgroup", target_->path()}, {"direction", "ingress"}};
  const std::string twice = hold(target, {{"probability", "100%"}}, "packet_duplication");
  send_to(7101);
  send_to(7102);
  EXPECT_EQ(got(*receiver, 100), 100U);
  EXPECT_EQ(got(*beside, 50), 50U);
  (void)daemon_->stop_scenario(twice);
  const std::string corrupt = hold(target, {{"probability", "100%"}}, "packet_corruption");
  send_to(7101);
  send_to(7102);
  EXPECT_EQ(got(*receiver, 0), 0U);
  EXPECT_EQ(got(*beside, 50), 50U);
  (void)daemon_->stop_scenario(corrupt);
  // Frames of 106 bytes: 50 of them in 424 ms.
  const std::string slow = hold(target, {{"rate", "100kbit"}, {"burst", "0"}}, "bandwidth_limit");
  const auto began = steady_clock::now();
  send_to(7102);
  EXPECT_EQ(got(*beside, 49), 50U);
  EXPECT_LT(ms_since(began), 300 * time_scale());
  send_to(7101);
  EXPECT_TRUE(eventually([&] { return daemon_->scenario(slow).at("counters").at("injected") == 50; }));
  (void)daemon_->stop_scenario(slow);
}

TEST_F(HeldTargets, WhatHasNoReceiverToBeToldByIsRefused) {
  const Response answer =
      daemon_->post("/api/chaos/scenarios",
                    {{"kind", "latency_injection"},
                     {"target", {{"cgroup", target_->path()}, {"direction", "ingress"}, {"protocol", "icmp"}}},
                     {"parameters", {{"delay", "10ms"}}}});
  EXPECT_EQ(answer.status, 400) << answer.text;
  EXPECT_EQ(answer.body.value("field", ""), "target.protocol");
  EXPECT_FALSE(lines_left());
}

}  // namespace
}  // namespace chaos::test
