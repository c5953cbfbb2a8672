// network_partition: cut off from the peers that are named, both ways or one way, at once for callers where that is
// asked for, and whole again afterwards. Observers: sockets of the test's own, and the kernel's own errno.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "loss_support.h"
#include "support/cgroup.h"
#include "support/observe.h"
#include "support/tcp.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr std::uint16_t kPort = 7000;

struct Call {
  int error = 0;
  milliseconds took{};
};

/// connect(2) by the calling thread; ETIMEDOUT after a second at most.
Call connect_here(const std::string& to, std::uint16_t port, UniqueFd* keep = nullptr) {
  Call call;
  const Address address(to, port);
  UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  const auto began = steady_clock::now();
  if (connect(fd.get(), address.get(), address.size) != 0) call.error = errno == EINPROGRESS ? ETIMEDOUT : errno;
  call.took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
  if (keep != nullptr) *keep = std::move(fd);
  return call;
}

/// sendto(2) with an address, by the calling thread; errno, 0 if it went out.
int send_here(const std::string& to) {
  const Address address(to, kPort);
  const UniqueFd fd(socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return sendto(fd.get(), "x", 1, 0, address.get(), address.size) == 1 ? 0 : errno;
}

/// From inside the cgroup and the namespace: to all addresses, in their order.
std::vector<Call> connect_from(const TestCgroup& cgroup, const Namespace& ns, const std::vector<std::string>& to,
                               std::uint16_t port = kPort) {
  std::vector<Call> calls;
  cgroup.run([&] {
    ns.run([&] {
      for (const std::string& address : to) calls.push_back(connect_here(address, port));
    });
  });
  return calls;
}

Call connect_from(const TestCgroup& cgroup, const Namespace& ns, const std::string& to, std::uint16_t port = kPort,
                  UniqueFd* keep = nullptr) {
  Call call;
  cgroup.run([&] { ns.run([&] { call = connect_here(to, port, keep); }); });
  return call;
}

std::vector<int> send_from(const TestCgroup& cgroup, const Namespace& ns, const std::vector<std::string>& to) {
  std::vector<int> errors;
  cgroup.run([&] {
    ns.run([&] {
      for (const std::string& address : to) errors.push_back(send_here(address));
    });
  });
  return errors;
}

class Partition : public testing::Test {
 protected:
  static json request(json target, json parameters = json::object()) {
    return {{"kind", "network_partition"},
            {"target", std::move(target)},
            {"parameters", std::move(parameters)},
            {"seed", "5"},
            {"duration", "120s"}};
  }
  /// `web` is the target's cgroup, `store` the right namespace's, `near` one beside web.
  [[nodiscard]] Daemon::Setup setup() const {
    Daemon::Setup setup;
    setup.config += "services:\n  web: {cgroup: " + web_.path() + "}\n  store: {cgroup: " + store_.path() +
                    "}\n  near: {cgroup: " + near_.path() + ", ports: [7100]}\n";
    return setup;
  }

  VethPair net_{"partition"};
  TestCgroup web_{"web"};
  TestCgroup store_{"store"};
  TestCgroup near_{"near"};
  TestCgroup bystander_{"bystander"};
  std::unique_ptr<Child> member_ = idle_process(web_, net_.left);
  std::unique_ptr<Child> stored_ = idle_process(store_, net_.right);
  std::unique_ptr<Child> neighbour_ = idle_process(near_, net_.left);
  Daemon daemon_{setup()};
  UniqueFd server_ = listen_in(net_.right, kPort);
};

TEST_F(Partition, BetweenTwoServicesAndHealed) {
  const json started = daemon_.run_scenario(request({{"service", "web"}, {"peer", "service:store"}}));
  EXPECT_THAT(started.at("plan").at("peers"), testing::UnorderedElementsAre("10.77.0.2", "fd77::2"));
  for (const char* address : {"10.77.0.2", "fd77::2"}) {
    EXPECT_EQ(connect_from(web_, net_.left, address).error, ETIMEDOUT) << address;
    EXPECT_EQ(connect_from(bystander_, net_.left, address).error, 0) << address;
    // Nobody tells the caller.
    EXPECT_EQ(send_from(web_, net_.left, {address}), std::vector<int>{0}) << address;
  }
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_GE(sums.injected, 4U);
  EXPECT_TRUE(sums.closes());
  EXPECT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, 0);
}

TEST_F(Partition, RejectAnswersTheTargetsCallsAtOnce) {
  const std::vector<std::pair<const char*, int>> errors{
      {"EHOSTUNREACH", EHOSTUNREACH}, {"ECONNREFUSED", ECONNREFUSED}, {"ETIMEDOUT", ETIMEDOUT}};
  for (const auto& [name, error] : errors) {
    const json started = daemon_.run_scenario(
        request({{"service", "web"}, {"peer", "service:store"}}, {{"mode", "reject"}, {"errno", name}}));
    const std::vector<std::string> addresses{"10.77.0.2", "fd77::2", "::ffff:10.77.0.2"};
    for (const Call& call : connect_from(web_, net_.left, addresses)) {
      EXPECT_EQ(call.error, error);
      EXPECT_LT(call.took, milliseconds(5) * time_scale());
    }
    EXPECT_EQ(send_from(web_, net_.left, addresses), std::vector<int>(3, error));
    for (const Call& call : connect_from(bystander_, net_.left, addresses)) EXPECT_EQ(call.error, 0);
    EXPECT_EQ(send_from(bystander_, net_.left, addresses), std::vector<int>(3, 0));
    // Others than the peers are reached.
    EXPECT_EQ(connect_from(web_, net_.left, "10.77.0.1").error, ECONNREFUSED);
    const Sums sums(daemon_.stop_scenario(started.at("id")));
    EXPECT_EQ(sums.injected, 6U);
    EXPECT_TRUE(sums.closes());
    EXPECT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, 0);
  }
}

TEST_F(Partition, EstablishedConnectionsAreCutAsWellAndHeal) {
  for (const char* mode : {"blackhole", "reject"}) {
    UniqueFd client;
    ASSERT_EQ(connect_from(web_, net_.left, "10.77.0.2", kPort, &client).error, 0);
    const UniqueFd peer(accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const json started =
        daemon_.run_scenario(request({{"service", "web"}, {"peer", "service:store"}}, {{"mode", mode}}));
    ASSERT_EQ(send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
    pollfd waited{peer.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waited, 1, 300), 0) << mode;
    (void)daemon_.stop_scenario(started.at("id"));
    EXPECT_EQ(poll(&waited, 1, 10'000), 1) << mode;
  }
}

TEST_F(Partition, OneWayTheTargetHearsAndIsNotHeard) {
  const json started =
      daemon_.run_scenario(request({{"service", "web"}, {"peer", "service:store"}, {"direction", "egress"}}));
  FlowSpec out{.packets = 200};
  out.sender_cgroup = &web_;
  FlowSpec in{
      .from = "10.77.0.2", .to = "10.77.0.1", .source_port = 6001, .port = 5001, .packets = 200, .reverse = true};
  in.receiver_cgroup = &web_;
  EXPECT_EQ(run_flows(net_, {out}).front().received, 0U);
  EXPECT_EQ(run_flows(net_, {in}).front().received, 200U);
  (void)daemon_.stop_scenario(started.at("id"));
  const json other =
      daemon_.run_scenario(request({{"service", "web"}, {"peer", "service:store"}, {"direction", "ingress"}}));
  EXPECT_EQ(run_flows(net_, {out}).front().received, 200U);
  EXPECT_EQ(run_flows(net_, {in}).front().received, 0U);
  (void)daemon_.stop_scenario(other.at("id"));
}

TEST_F(Partition, AServiceInTheSameNamespaceIsToldApartByItsPorts) {
  const UniqueFd near_server = listen_in(net_.left, 7100);
  const UniqueFd other_server = listen_in(net_.left, 7200);
  const json started = daemon_.run_scenario(request({{"service", "web"}, {"peer", "service:near"}}));
  EXPECT_THAT(started.at("plan").at("notes").dump(), HasSubstr("own network namespace"));
  for (const char* address : {"127.0.0.1", "::1", "10.77.0.1"}) {
    EXPECT_EQ(connect_from(web_, net_.left, address, 7100).error, ETIMEDOUT) << address;
    EXPECT_EQ(connect_from(web_, net_.left, address, 7200).error, 0) << address;
    EXPECT_EQ(connect_from(bystander_, net_.left, address, 7100).error, 0) << address;
  }
  (void)daemon_.stop_scenario(started.at("id"));
}

TEST_F(Partition, AShareOfTheListedPeersIsExactAndTheSeeds) {
  for (int i = 3; i <= 10; ++i) {
    (void)net_.right.command("ip address add 10.77.0." + std::to_string(i) + "/24 dev r0");
  }
  json peers = json::array();
  for (int i = 3; i <= 10; ++i) peers.push_back("10.77.0." + std::to_string(i));
  const auto cut_off = [&](const char* seed) {
    json asked = request({{"service", "web"}, {"peer", peers}}, {{"share", "50%"}, {"mode", "reject"}});
    asked["seed"] = seed;
    const json started = daemon_.run_scenario(asked);
    std::vector<std::string> cut;
    const auto calls = connect_from(web_, net_.left, peers.get<std::vector<std::string>>());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (calls[i].error != 0) cut.push_back(peers[i]);
    }
    EXPECT_EQ(json(cut).size(), started.at("plan").at("peers").size());
    (void)daemon_.stop_scenario(started.at("id"));
    return cut;
  };
  const auto first = cut_off("1");
  EXPECT_EQ(first.size(), 4U);
  EXPECT_EQ(first, cut_off("1"));
  EXPECT_NE(first, cut_off("2"));
}

TEST_F(Partition, AShareOfAllRemoteAddressesIsTheSeedsChoice) {
  std::vector<std::string> addresses;
  for (int i = 3; i <= 62; ++i) addresses.push_back("10.77.0." + std::to_string(i));
  std::string batch;
  for (const std::string& address : addresses) batch += "address add " + address + "/24 dev r0\n";
  (void)shell("printf '" + batch + "' | ip -n " + net_.right.name() + " -batch -");
  const auto cut_off = [&](const char* seed) {
    json asked = request({{"service", "web"}}, {{"share", "50%"}, {"mode", "reject"}});
    asked["seed"] = seed;
    const json started = daemon_.run_scenario(asked);
    std::vector<bool> cut;
    for (const Call& call : connect_from(web_, net_.left, addresses)) cut.push_back(call.error != 0);
    (void)daemon_.stop_scenario(started.at("id"));
    return cut;
  };
  const auto first = cut_off("1");
  const auto count = static_cast<std::uint64_t>(std::ranges::count(first, true));
  EXPECT_LT(std::abs(deviation(count, addresses.size(), 0.5)), 4.0) << count;
  EXPECT_EQ(first, cut_off("1"));
  EXPECT_NE(first, cut_off("2"));
}

TEST_F(Partition, ANamespaceIsCutOffAsAWhole) {
  const json started = daemon_.run_scenario(request({{"netns", net_.left.name()}, {"interface", "l0"}}));
  EXPECT_EQ(connect_from(bystander_, net_.left, "10.77.0.2").error, ETIMEDOUT);
  (void)daemon_.stop_scenario(started.at("id"));
  EXPECT_EQ(connect_from(bystander_, net_.left, "10.77.0.2").error, 0);
}

TEST_F(Partition, RejectEndsWithTheBrakeAndWithTheDaemon) {
  const json asked = request({{"service", "web"}, {"peer", "service:store"}}, {{"mode", "reject"}});
  (void)daemon_.run_scenario(asked);
  ASSERT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, EHOSTUNREACH);
  ASSERT_EQ(daemon_.post("/api/chaos/emergency-stop").status, 200);
  EXPECT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, 0);
  ASSERT_TRUE(eventually([&] { return daemon_.post("/api/chaos/rearm").status == 200; }));
  (void)daemon_.run_scenario(asked);
  ASSERT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, EHOSTUNREACH);
  const BpfObjects objects = bpf_objects_of(daemon_.pid());
  // Hung: its lease runs out. Dead: nothing is left.
  daemon_.signal(SIGSTOP);
  EXPECT_TRUE(eventually([&] { return connect_from(web_, net_.left, "10.77.0.2").error == 0; }));
  daemon_.signal(SIGKILL);
  (void)daemon_.wait();
  EXPECT_EQ(connect_from(web_, net_.left, "10.77.0.2").error, 0);
  EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); }));
}

TEST_F(Partition, WhatCannotBeIsRefusedWithItsField) {
  const auto refusal = [&](json target, json parameters) {
    const Response answer = daemon_.post("/api/chaos/scenarios", request(std::move(target), std::move(parameters)));
    return std::pair(answer.status, answer.body.value("field", ""));
  };
  const json reject{{"mode", "reject"}};
  EXPECT_EQ(refusal({{"netns", net_.left.name()}}, reject), std::pair(400L, std::string("parameters.mode")));
  EXPECT_EQ(refusal({{"service", "web"}, {"netns", net_.left.name()}}, json::object()),
            std::pair(400L, std::string("target.netns")));
  EXPECT_EQ(refusal({{"service", "web"}, {"netns", net_.left.name()}, {"direction", "egress"}}, reject),
            std::pair(400L, std::string("target.netns")));
  EXPECT_EQ(refusal({{"service", "web"}, {"direction", "ingress"}}, reject),
            std::pair(400L, std::string("target.direction")));
  EXPECT_EQ(refusal({{"service", "web"}}, {{"errno", "EIO"}, {"mode", "reject"}}),
            std::pair(400L, std::string("parameters.errno")));
  EXPECT_EQ(refusal({{"service", "web"}}, {{"errno", "EPERM"}}), std::pair(400L, std::string("parameters.errno")));
  EXPECT_EQ(refusal({{"service", "web"}, {"peer", "service:none"}}, json::object()),
            std::pair(404L, std::string("target.peer")));
  EXPECT_EQ(refusal({{"service", "store"}, {"peer", "service:store"}}, json::object()),
            std::pair(400L, std::string("target.peer")));
}

}  // namespace
}  // namespace chaos::test
