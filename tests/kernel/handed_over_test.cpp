// packet_loss narrowed to a cgroup whose processes have sockets that another cgroup made, as systemd's socket units
// hand them out, or a parent, or whoever was moved. Observers: sockets of the test.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <memory>

#include "loss_support.h"
#include "puppet.h"
#include "support/cgroup.h"
#include "support/observe.h"
#include "support/tcp.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json against(const TestCgroup& cgroup, const char* direction, const char* kind = "packet_loss",
             json parameters = {{"probability", "100%"}}) {
  return {{"kind", kind},
          {"target", {{"cgroup", cgroup.path()}, {"direction", direction}}},
          {"parameters", std::move(parameters)},
          {"duration", "120s"}};
}

class HandedOverTest : public testing::Test {
 protected:
  HandedOverTest() {
    maker_.add(member_.pid());
    EXPECT_EQ(member_.tell("exec 7>/dev/udp/10.77.0.2/" + std::to_string(kCounterPort)), 0);
    EXPECT_EQ(member_.tell("exec 8>/dev/udp/fd77::2/" + std::to_string(kCounterPort)), 0);
    target_.add(member_.pid());
    // Has one of the same cgroup, to the same port, and stays there.
    maker_.add(neighbour_.pid());
    EXPECT_EQ(neighbour_.tell("exec 7>/dev/udp/10.77.0.2/" + std::to_string(kCounterPort)), 0);
  }

  /// How many of five datagrams arrive that it sends by its descriptor.
  int arrive_by(Puppet& puppet, int fd) {
    counter_.drain();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(puppet.tell("echo x >&" + std::to_string(fd)), 0);
    return counter_.collect(5);
  }

  VethPair net_{"handed"};
  TestCgroup maker_{"maker"};
  TestCgroup target_{"target"};
  Puppet member_{net_.left};
  Puppet neighbour_{net_.left};
  Counter counter_{net_};
  Daemon daemon_;
};

TEST_F(HandedOverTest, WhatIsSentBySuchASocketIsLost) {
  ASSERT_EQ(arrive_by(member_, 7), 5);
  const json started = daemon_.run_scenario(against(target_, "egress"));
  EXPECT_THAT(started.at("plan").at("notes").dump(), HasSubstr("made by another cgroup and hit with the target: udp"));
  EXPECT_EQ(arrive_by(member_, 7), 0);
  EXPECT_EQ(arrive_by(member_, 8), 0);
  EXPECT_EQ(arrive_by(neighbour_, 7), 5);
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, 10U);
  EXPECT_TRUE(sums.closes());
  EXPECT_EQ(arrive_by(member_, 7), 5);
}

TEST_F(HandedOverTest, ATargetWithoutSuchSocketsSaysNothingOfThem) {
  const json started = daemon_.run_scenario(against(maker_, "egress"));
  EXPECT_THAT(started.at("plan").at("notes").dump(), Not(HasSubstr("made by another cgroup and hit")));
  EXPECT_EQ(arrive_by(neighbour_, 7), 0);
  EXPECT_EQ(arrive_by(member_, 7), 0) << "it was made there, whoever has it now";
  EXPECT_EQ(Sums(daemon_.stop_scenario(started.at("id"))).injected, 10U);
}

TEST_F(HandedOverTest, TwoScenariosMeanItAndEndApart) {
  const json first = daemon_.run_scenario(against(target_, "egress"));
  const json second = daemon_.run_scenario(against(target_, "egress"));
  EXPECT_EQ(arrive_by(member_, 7), 0);
  EXPECT_EQ(Sums(daemon_.stop_scenario(first.at("id"))).injected, 5U);
  EXPECT_EQ(arrive_by(member_, 7), 0);
  EXPECT_EQ(Sums(daemon_.stop_scenario(second.at("id"))).injected, 10U);
  EXPECT_EQ(arrive_by(member_, 7), 5);
  const json third = daemon_.run_scenario(against(target_, "egress"));
  EXPECT_EQ(arrive_by(member_, 7), 0) << "the socket has its number from before";
  EXPECT_EQ(Sums(daemon_.stop_scenario(third.at("id"))).injected, 5U);
}

TEST_F(HandedOverTest, AProcessThatBringsOneLaterIsCovered) {
  TestCgroup empty("empty");
  const json started = daemon_.run_scenario(against(empty, "egress"));
  EXPECT_EQ(arrive_by(member_, 7), 5);
  empty.add(member_.pid());
  EXPECT_TRUE(eventually([&] { return arrive_by(member_, 7) == 0; })) << daemon_.scenario(started.at("id")).dump();
  EXPECT_EQ(arrive_by(neighbour_, 7), 5);
  EXPECT_TRUE(Sums(daemon_.stop_scenario(started.at("id"))).closes());
}

/// A server as a socket unit starts one: its sockets are made in another cgroup, and a process of the target inherits
/// them. The test serves by its own descriptors of them.
class Server {
 public:
  Server(const TestCgroup& maker, const Namespace& ns, const TestCgroup& home, std::uint16_t port) : port_(port) {
    maker.run([&] {
      ns.run([&] {
        for (const char* address : {"10.77.0.1", "fd77::1"}) {
          listeners_[address] = bound(SOCK_STREAM, address);
          EXPECT_EQ(::listen(listeners_[address].get(), 16), 0);
        }
        datagrams_ = bound(SOCK_DGRAM, "10.77.0.1");
      });
    });
    keeper_ = idle_process(home, ns);
    for (const UniqueFd* fd : all()) ::fcntl(fd->get(), F_SETFD, FD_CLOEXEC);
  }

  /// Whether a client in `ns` connects and is sent something.
  [[nodiscard]] bool greets(const Namespace& ns, const std::string& address) {
    const Address to(address, port_);
    UniqueFd client;
    ns.run([&] { client.reset(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); });
    (void)::connect(client.get(), to.get(), to.size);
    if (!ready(listeners_.at(address), POLLIN)) return false;
    const UniqueFd accepted(::accept4(listeners_.at(address).get(), nullptr, nullptr, SOCK_CLOEXEC));
    return ::send(accepted.get(), "x", 1, MSG_NOSIGNAL) == 1 && ready(client, POLLIN);
  }
  /// Whether a datagram that a client in `ns` sends comes back; `error`: of the answer.
  [[nodiscard]] bool echoes(const Namespace& ns, int* error = nullptr) {
    const Address to("10.77.0.1", port_);
    UniqueFd client;
    ns.run([&] { client.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); });
    if (::sendto(client.get(), "x", 1, 0, to.get(), to.size) != 1 || !ready(datagrams_, POLLIN)) return false;
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    char byte = 0;
    auto* peer = reinterpret_cast<sockaddr*>(&from);
    if (::recvfrom(datagrams_.get(), &byte, 1, 0, peer, &size) != 1) return false;
    const bool sent = ::sendto(datagrams_.get(), "x", 1, 0, peer, size) == 1;
    if (error != nullptr) *error = sent ? 0 : errno;
    return sent && ready(client, POLLIN);
  }

 private:
  [[nodiscard]] UniqueFd bound(int type, const std::string& address) const {
    const Address to(address, port_);
    // Inherited by what is started next.
    UniqueFd fd(::socket(to.storage.ss_family, type, 0));
    EXPECT_EQ(::bind(fd.get(), to.get(), to.size), 0) << address;
    return fd;
  }
  [[nodiscard]] static bool ready(const UniqueFd& fd, short event) {
    pollfd waited{fd.get(), event, 0};
    return ::poll(&waited, 1, 700) == 1 && (waited.revents & event) != 0;
  }
  [[nodiscard]] std::vector<const UniqueFd*> all() const {
    std::vector<const UniqueFd*> fds{&datagrams_};
    for (const auto& [address, fd] : listeners_) fds.push_back(&fd);
    return fds;
  }

  std::uint16_t port_;
  std::map<std::string, UniqueFd> listeners_;
  UniqueFd datagrams_;
  std::unique_ptr<Child> keeper_;
};

class SocketActivation : public testing::Test {
 protected:
  VethPair net_{"activated"};
  TestCgroup maker_{"maker"};
  TestCgroup target_{"target"};
  TestCgroup other_{"other"};
  Server service_{maker_, net_.left, target_, 7100};
  Server neighbour_{maker_, net_.left, other_, 7101};
  Daemon daemon_;
};

TEST_F(SocketActivation, AServiceOnInheritedSocketsIsHitBothWaysAndItsNeighbourIsNot) {
  for (const char* direction : {"egress", "ingress"}) {
    for (const char* address : {"10.77.0.1", "fd77::1"}) EXPECT_TRUE(service_.greets(net_.right, address)) << address;
    EXPECT_TRUE(service_.echoes(net_.right));
    const json started = daemon_.run_scenario(against(target_, direction));
    for (const char* address : {"10.77.0.1", "fd77::1"}) {
      EXPECT_FALSE(service_.greets(net_.right, address)) << direction << " " << address;
      EXPECT_TRUE(neighbour_.greets(net_.right, address)) << direction << " " << address;
    }
    EXPECT_FALSE(service_.echoes(net_.right)) << direction;
    EXPECT_TRUE(neighbour_.echoes(net_.right)) << direction;
    const Sums sums(daemon_.stop_scenario(started.at("id")));
    EXPECT_GE(sums.injected, 3U) << direction;
    EXPECT_TRUE(sums.closes()) << direction;
  }
}

TEST_F(SocketActivation, AnswersByAnInheritedSocketAreRefused) {
  json request = against(target_, "egress", "network_partition", {{"mode", "reject"}, {"errno", "EHOSTUNREACH"}});
  request["target"]["peer"] = "10.77.0.2";
  const json started = daemon_.run_scenario(request);
  int error = 0;
  EXPECT_FALSE(service_.echoes(net_.right, &error));
  EXPECT_EQ(error, EHOSTUNREACH);
  EXPECT_TRUE(neighbour_.echoes(net_.right, &error));
  (void)daemon_.stop_scenario(started.at("id"));
  EXPECT_TRUE(service_.echoes(net_.right, &error));
}

TEST_F(SocketActivation, WhatTheTargetMadeItselfIsDecidedOnOnce) {
  Server own(target_, net_.left, target_, 7102);
  json request = against(target_, "ingress");
  request["target"]["protocol"] = "udp";
  const json started = daemon_.run_scenario(request);
  EXPECT_FALSE(service_.echoes(net_.right));
  EXPECT_FALSE(own.echoes(net_.right));
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, 2U);
  EXPECT_EQ(sums.matched, 2U) << "at the target's cgroup and at the root";
  EXPECT_TRUE(sums.closes());
}

}  // namespace
}  // namespace chaos::test
