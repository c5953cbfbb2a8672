// packet_loss narrowed to the sockets of a cgroup: what those send and receive is hit in every namespace that they live
// in, and nothing else is, be it on the same interface and to the same ports. Observers: sockets, ping, bpftool's ids.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loss_support.h"
#include "puppet.h"
#include "support/cgroup.h"
#include "support/observe.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

json total_loss(json target, json duration = "120s") {
  return {{"kind", "packet_loss"},
          {"target", std::move(target)},
          {"parameters", {{"probability", "100%"}}},
          {"duration", std::move(duration)}};
}

/// A configuration with the service "web".
Daemon::Setup with_service(const TestCgroup& cgroup) {
  Daemon::Setup setup;
  setup.config += "services: {web: {cgroup: " + cgroup.path() + "}}\n";
  return setup;
}

class SocketTargets : public testing::Test {
 protected:
  /// Sends from `cgroup` in the left namespace to a receiver of `to`'s; null: of neither.
  FlowResult flow(const TestCgroup* from, const TestCgroup* to, std::uint64_t packets = 2000, bool six = false,
                  std::uint16_t source_port = 5000) {
    FlowSpec spec{.source_port = source_port, .packets = packets};
    if (six) spec.from = "fd77::1", spec.to = "fd77::2";
    spec.sender_cgroup = from;
    spec.receiver_cgroup = to;
    return run_flows(net_, {spec}).front();
  }

  VethPair net_{"sockets"};
  TestCgroup target_{"target"};
  TestCgroup other_{"other"};
  std::unique_ptr<Child> member_ = idle_process(target_, net_.left);
  Daemon daemon_;
};

TEST_F(SocketTargets, WhatACgroupSendsIsLostAndItsNeighboursSendingIsNot) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", "egress"}}));
  std::uint64_t lost = 0;
  for (const bool six : {false, true}) {
    const FlowResult hit = flow(&target_, nullptr, 2000, six);
    EXPECT_EQ(hit.received, 0U);
    EXPECT_EQ(hit.refused, 0U) << "the sender was told";
    lost += hit.sent;
    const FlowResult spared = flow(&other_, nullptr, full_size() ? 1'000'000 : 50'000, six);
    EXPECT_EQ(spared.received + spared.socket_drops, spared.sent);
  }
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, lost);
  EXPECT_TRUE(sums.closes());
}

TEST_F(SocketTargets, WhatArrivesAtACgroupIsLostAndAtItsNeighboursNot) {
  const auto receiver = idle_process(target_, net_.right);
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", "ingress"}}));
  std::uint64_t lost = 0;
  for (const bool six : {false, true}) {
    const FlowResult hit = flow(nullptr, &target_, 2000, six);
    EXPECT_EQ(hit.received, 0U);
    lost += hit.sent;
    const FlowResult spared = flow(nullptr, &other_, full_size() ? 1'000'000 : 50'000, six);
    EXPECT_EQ(spared.received + spared.socket_drops, spared.sent);
  }
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, lost);
  EXPECT_TRUE(sums.closes());
}

TEST_F(SocketTargets, FiltersNarrowASocketTargetFurther) {
  const json started =
      daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"peer", "10.77.0.0/24"}, {"local-port", "5001"}}));
  EXPECT_EQ(flow(&target_, nullptr, 500).received, 500U);
  EXPECT_EQ(flow(&target_, nullptr, 500, false, 5001).received, 0U);
  EXPECT_EQ(flow(&target_, nullptr, 500, true, 5001).received, 500U) << "an IPv4 peer filter hit IPv6";
  EXPECT_EQ(flow(&other_, nullptr, 500, false, 5001).received, 500U);
  EXPECT_TRUE(Sums(daemon_.stop_scenario(started.at("id"))).closes());
}

TEST_F(SocketTargets, TcpAndPingOfTheTargetOnly) {
  const auto server = std::make_unique<Child>(
      "/bin/sh",
      std::vector<std::string>{
          "sh", "-c", "exec nsenter --net=/run/netns/" + net_.right.name() + " iperf3 -s -p 7000 --forceflush 2>&1"});
  ASSERT_THAT(server->read_line() + server->read_line(), HasSubstr("Server listening"));
  const std::string ping = "ping -c 2 -i 0.2 -W 1 10.77.0.2";
  const std::string connect = "timeout 1 bash -c \"exec 3<>/dev/tcp/10.77.0.2/7000\"";
  EXPECT_EQ(shell_in(target_, net_.left, ping).status, 0);
  EXPECT_EQ(shell_in(target_, net_.left, connect).status, 0);
  for (const char* direction : {"egress", "ingress"}) {
    const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", direction}}));
    EXPECT_NE(shell_in(target_, net_.left, ping).status, 0) << direction;
    EXPECT_NE(shell_in(target_, net_.left, connect).status, 0) << direction;
    EXPECT_EQ(shell_in(other_, net_.left, ping).status, 0) << direction;
    EXPECT_EQ(shell_in(other_, net_.left, connect).status, 0) << direction;
    const Sums sums(daemon_.stop_scenario(started.at("id")));
    EXPECT_GE(sums.injected, 3U) << direction;
    EXPECT_TRUE(sums.closes());
  }
}

TEST_F(SocketTargets, CgroupsBelowBelongToItAndSiblingsDoNot) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}}));
  // One that comes later, two levels down.
  TestCgroup below(target_, "below");
  TestCgroup deeper(below, "deeper");
  TestCgroup beside(other_, "below");
  EXPECT_EQ(flow(&deeper, nullptr, 500).received, 0U);
  EXPECT_EQ(flow(&beside, nullptr, 500).received, 500U);
  (void)daemon_.stop_scenario(started.at("id"));
  EXPECT_EQ(flow(&deeper, nullptr, 500).received, 500U);
}

TEST_F(SocketTargets, TwoScenariosOnOneCgroupAndOneAboveItComposeAndEndApart) {
  TestCgroup below(target_, "below");
  const auto inhabitant = idle_process(below, net_.left);
  const auto request = [&](const std::string& path, const char* port) {
    return total_loss({{"cgroup", path}, {"local-port", port}, {"direction", "egress"}});
  };
  const json above = daemon_.run_scenario(request(target_.path(), "5000"));
  const json first = daemon_.run_scenario(request(below.path(), "5000"));
  const json second = daemon_.run_scenario(request(below.path(), "5001"));
  EXPECT_EQ(flow(&below, nullptr, 300).received, 0U);
  EXPECT_EQ(flow(&below, nullptr, 300, false, 5001).received, 0U);
  EXPECT_EQ(flow(&target_, nullptr, 300, false, 5001).received, 300U);
  EXPECT_EQ(Sums(daemon_.stop_scenario(above.at("id"))).injected, 300U);
  EXPECT_EQ(flow(&below, nullptr, 300).received, 0U);
  EXPECT_EQ(Sums(daemon_.stop_scenario(first.at("id"))).injected, 600U);
  EXPECT_EQ(flow(&below, nullptr, 300).received, 300U);
  EXPECT_EQ(Sums(daemon_.stop_scenario(second.at("id"))).injected, 300U);
}

TEST_F(SocketTargets, AnInterfaceThatComesLaterIsCovered) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", "egress"}}));
  (void)net_.left.command("ip link add late0 type veth peer name late1");
  const std::string netns = net_.left.name();
  (void)shell("ip -n " + netns + " link set late1 netns " + net_.right.name());
  (void)shell("ip -n " + netns + " address add 10.78.0.1/24 dev late0 && ip -n " + netns + " link set late0 up");
  (void)shell("ip -n " + net_.right.name() + " address add 10.78.0.2/24 dev late1 && ip -n " + net_.right.name() +
              " link set late1 up");
  EXPECT_TRUE(eventually([&] {
    return shell_in(target_, net_.left, "ping -c 1 -W 1 10.78.0.2").status != 0 &&
           shell_in(other_, net_.left, "ping -c 1 -W 1 10.78.0.2").status == 0;
  }));
  EXPECT_TRUE(Sums(daemon_.stop_scenario(started.at("id"))).closes());
}

TEST_F(SocketTargets, ANamespaceThatAMemberEntersLaterIsCovered) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", "egress"}}));
  const auto newcomer = idle_process(target_, net_.right);
  EXPECT_TRUE(eventually([&] { return shell_in(target_, net_.right, "ping -c 1 -W 1 10.77.0.1").status != 0; }));
  EXPECT_EQ(shell_in(other_, net_.right, "ping -c 1 -W 1 10.77.0.1").status, 0);
  EXPECT_TRUE(Sums(daemon_.stop_scenario(started.at("id"))).closes());
}

TEST_F(SocketTargets, ACgroupWithoutProcessesIsCoveredOnceItHasSome) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", other_.path()}, {"direction", "egress"}}));
  EXPECT_THAT(started.at("warnings").dump(), HasSubstr("has no processes now"));
  EXPECT_EQ(started.at("plan").at("interfaces").size(), 0U);
  const auto first = idle_process(other_, net_.left);
  EXPECT_TRUE(eventually([&] { return flow(&other_, nullptr, 100).received == 0; }));
  EXPECT_EQ(flow(&target_, nullptr, 100).received, 100U);
}

TEST_F(SocketTargets, AProcessThatMovesOutKeepsTheCgroupOfItsSocketsAndMakesNewOnesElsewhere) {
  Counter counter(net_);
  Puppet mover(net_.left);
  target_.add(mover.pid());
  ASSERT_EQ(mover.tell("exec 7>/dev/udp/10.77.0.2/" + std::to_string(kCounterPort)), 0);
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}, {"direction", "egress"}}));
  EXPECT_FALSE(counter.reached_by(mover));
  other_.add(mover.pid());
  EXPECT_TRUE(counter.reached_by(mover));
  counter.drain();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(mover.tell("echo x >&7"), 0);
  EXPECT_EQ(counter.collect(1), 0) << "a socket of before";
  target_.add(mover.pid());
  EXPECT_FALSE(counter.reached_by(mover));
  EXPECT_EQ(Sums(daemon_.stop_scenario(started.at("id"))).injected, 13U);
}

TEST_F(SocketTargets, ACgroupThatIsRemovedEndsTheScenario) {
  const json started = daemon_.run_scenario(total_loss({{"cgroup", target_.path()}}));
  target_.remove();
  json ended;
  EXPECT_TRUE(eventually([&] {
    ended = daemon_.scenario(started.at("id"));
    return ended.at("state") == "failed";
  }));
  EXPECT_EQ(ended.at("end_reason"), "target_gone");
  EXPECT_EQ(attached_programs(net_.left, "l0"), 0U);
}

TEST_F(SocketTargets, AServiceThatStartsAnewIsFollowedByItsName) {
  const Daemon daemon(with_service(target_));
  const json started = daemon.run_scenario(total_loss({{"service", "web"}}));
  EXPECT_THAT(started.at("plan").at("touches").dump(), HasSubstr("service web"));
  EXPECT_EQ(flow(&target_, nullptr, 300).received, 0U);
  target_.renew();
  const auto again = idle_process(target_, net_.left);
  EXPECT_TRUE(eventually([&] { return flow(&target_, nullptr, 300).received == 0; }));
  EXPECT_EQ(flow(&other_, nullptr, 300).received, 300U);
  const Sums sums(daemon.stop_scenario(started.at("id")));
  EXPECT_GE(sums.injected, 600U);
  EXPECT_TRUE(sums.closes());
}

TEST_F(SocketTargets, AServiceThatStaysAwayEndsTheScenario) {
  const Daemon daemon(with_service(target_));
  const json started = daemon.run_scenario(total_loss({{"service", "web"}}));
  target_.remove();
  json ended;
  EXPECT_TRUE(eventually(
      [&] {
        ended = daemon.scenario(started.at("id"));
        return ended.at("state") == "failed";
      },
      seconds(20)));
  EXPECT_EQ(ended.at("end_reason"), "target_gone");
}

TEST_F(SocketTargets, KilledDaemonLeavesTheTargetAloneAtOnce) {
  (void)daemon_.run_scenario(total_loss({{"cgroup", target_.path()}}));
  const BpfObjects objects = bpf_objects_of(daemon_.pid());
  ASSERT_FALSE(objects.links.empty());
  ASSERT_NE(shell_in(target_, net_.left, "ping -c 1 -W 1 10.77.0.2").status, 0);
  daemon_.signal(SIGKILL);
  (void)daemon_.wait();
  EXPECT_EQ(shell_in(target_, net_.left, "ping -c 1 -W 1 10.77.0.2").status, 0);
  EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); }));
}

TEST_F(SocketTargets, WhatIsNoTargetIsRefusedWithItsField) {
  const auto refusal = [&](json target) {
    const Response answer = daemon_.post("/api/chaos/scenarios", total_loss(std::move(target)));
    return std::pair(answer.status, answer.body.value("field", ""));
  };
  EXPECT_EQ(refusal({{"cgroup", "/chaostest-none"}}), std::pair(404L, std::string("target.cgroup")));
  EXPECT_EQ(refusal({{"cgroup", "/"}}), std::pair(400L, std::string("target.cgroup")));
  EXPECT_EQ(refusal({{"cgroup", "relative"}}), std::pair(400L, std::string("target.cgroup")));
  EXPECT_EQ(refusal({{"cgroup", "/a/../b"}}), std::pair(400L, std::string("target.cgroup")));
  EXPECT_EQ(refusal({{"cgroup", {target_.path(), other_.path()}}}), std::pair(400L, std::string("target.cgroup")));
  EXPECT_EQ(refusal({{"service", "none"}}), std::pair(404L, std::string("target.service")));
  EXPECT_EQ(refusal({{"unit", "none.service"}}), std::pair(404L, std::string("target.unit")));
  EXPECT_EQ(refusal({{"container", "0123456789abcdef"}}), std::pair(404L, std::string("target.container")));
  EXPECT_EQ(refusal({{"cgroup", target_.path()}, {"interface", "l0"}}), std::pair(400L, std::string("target")));
}

}  // namespace
}  // namespace chaos::test
