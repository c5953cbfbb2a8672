// packet_loss narrowed to the sockets of processes and users: a pid with what it forks, processes by name, a user.
// Theirs are hit, new and old, and those of their neighbours in the same namespace and cgroup are not. Observer: a
// socket that counts what arrives, and what calls return.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "loss_support.h"
#include "puppet.h"
#include "reborn.h"
#include "support/cgroup.h"
#include "support/observe.h"
#include "support/tcp.h"
#include "support/temp_dir.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ProcessTargets : public testing::Test {
 protected:
  static json total_loss(json target) {
    return {{"kind", "packet_loss"},
            {"target", std::move(target)},
            {"parameters", {{"probability", "100%"}}},
            {"duration", "120s"}};
  }
  VethPair net_{"process"};
  Counter counter_{net_};
  Puppet target_{net_.left};
  Puppet other_{net_.left};
  Daemon daemon_;
};

TEST_F(ProcessTargets, WhatAProcessSendsIsLostAndItsNeighboursSendingIsNot) {
  const json started =
      daemon_.run_scenario(total_loss({{"pid", std::to_string(target_.pid())}, {"direction", "egress"}}));
  for (const char* address : {"10.77.0.2", "fd77::2"}) {
    EXPECT_EQ(counter_.arrivals(target_, address), 0) << address;
    EXPECT_EQ(counter_.arrivals(other_, address), 20) << address;
  }
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, 40U);
  EXPECT_TRUE(sums.closes());
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 20);
}

TEST_F(ProcessTargets, WhatItForksIsCoveredBothWays) {
  for (const char* direction : {"egress", "ingress"}) {
    const json started =
        daemon_.run_scenario(total_loss({{"pid", std::to_string(target_.pid())}, {"direction", direction}}));
    // ping is the shell's child, and one more shell lies between.
    EXPECT_NE(target_.tell("sh -c \"ping -c 1 -W 1 10.77.0.2; exit \\$?\""), 0) << direction;
    EXPECT_EQ(other_.tell("sh -c \"ping -c 1 -W 1 10.77.0.2; exit \\$?\""), 0) << direction;
    const Sums sums(daemon_.stop_scenario(started.at("id")));
    EXPECT_GE(sums.injected, 1U) << direction;
    EXPECT_TRUE(sums.closes());
    EXPECT_EQ(target_.tell("ping -c 1 -W 1 10.77.0.2"), 0) << direction;
  }
}

TEST_F(ProcessTargets, SocketsThatItHadBeforeAreCovered) {
  // One open socket, used before and after.
  ASSERT_EQ(target_.tell("exec 7>/dev/udp/10.77.0.2/" + std::to_string(kCounterPort)), 0);
  ASSERT_EQ(target_.tell("echo x >&7"), 0);
  const json started = daemon_.run_scenario(total_loss({{"pid", std::to_string(target_.pid())}}));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(target_.tell("echo x >&7"), 0);
  EXPECT_EQ(Sums(daemon_.stop_scenario(started.at("id"))).injected, 5U);
}

TEST_F(ProcessTargets, ConnectionsThatAListenerAcceptsAreItsOwn) {
  const Child server(
      "/bin/sh", {"sh", "-c", "exec nsenter --net=/run/netns/" + net_.left.name() + " iperf3 -s -p 7400 --forceflush"});
  ASSERT_THAT(server.read_line() + server.read_line(), HasSubstr("Server listening"));
  json request = total_loss({{"pid", std::to_string(server.pid())}});
  request["mode"] = "shadow";
  const json started = daemon_.run_scenario(request);
  Puppet client(net_.right);
  EXPECT_EQ(client.tell("iperf3 -c 10.77.0.1 -p 7400 -n 2M"), 0);
  // And one of another server in the same place.
  EXPECT_EQ(counter_.arrivals(other_, "10.77.0.2"), 20);
  const json ended = daemon_.stop_scenario(started.at("id"));
  // Two handshakes alone would be a handful.
  EXPECT_GT(ended.at("counters").at("shadowed"), 20);
  EXPECT_TRUE(Sums(ended).closes() || ended.at("counters").at("shadowed") == ended.at("counters").at("matched"));
}

TEST_F(ProcessTargets, ProcessesByNameAndThoseThatComeLater) {
  const TempDir dir;
  const auto program = dir.path() / "chaosprobe";
  std::filesystem::copy_file("/bin/bash", program);
  Puppet named(net_.left, program.string());
  const json started =
      daemon_.run_scenario(total_loss({{"netns", net_.left.name()}, {"comm", "chaosprobe"}, {"direction", "egress"}}));
  EXPECT_EQ(counter_.arrivals(named, "10.77.0.2"), 0);
  EXPECT_EQ(counter_.arrivals(other_, "10.77.0.2"), 20);
  Puppet later(net_.left, program.string());
  EXPECT_TRUE(eventually([&] { return counter_.arrivals(later, "10.77.0.2", 3) == 0; }));
  EXPECT_EQ(counter_.arrivals(other_, "10.77.0.2"), 20);
  EXPECT_TRUE(Sums(daemon_.stop_scenario(started.at("id"))).closes());
}

TEST_F(ProcessTargets, AUsersSockets) {
  Puppet user(net_.left, "/bin/bash", "setpriv --reuid 61234 --clear-groups ");
  const json started = daemon_.run_scenario(
      total_loss({{"netns", net_.left.name()}, {"interface", "l0"}, {"uid", "61234"}, {"direction", "egress"}}));
  for (const char* address : {"10.77.0.2", "fd77::2"}) {
    EXPECT_EQ(counter_.arrivals(user, address), 0) << address;
    EXPECT_EQ(counter_.arrivals(other_, address), 20) << address;
  }
  EXPECT_EQ(Sums(daemon_.stop_scenario(started.at("id"))).injected, 40U);
}

TEST_F(ProcessTargets, WhatArrivesForAUserInOneNamespaceAndNotInAnother) {
  const Namespace elsewhere("elsewhere");
  const std::string as_user = "setpriv --reuid 61234 --clear-groups ";
  Puppet user(net_.left, "/bin/bash", as_user);
  Puppet same_user(elsewhere, "/bin/bash", as_user);
  const json started =
      daemon_.run_scenario(total_loss({{"netns", net_.left.name()}, {"uid", "61234"}, {"direction", "ingress"}}));
  const auto echo = [](const char* address) { return "ping -c 2 -i 0.2 -W 1 " + std::string(address); };
  // ping is not root's: its sockets are this user's. That it may make them is the namespace's choice.
  for (const std::string& ns : {net_.left.name(), elsewhere.name()}) {
    (void)shell("ip netns exec " + ns + " sysctl -q -w net.ipv4.ping_group_range='0 2147483647'");
  }
  for (const char* address : {"10.77.0.2", "fd77::2"}) {
    EXPECT_NE(user.tell(echo(address)), 0) << address;
    EXPECT_EQ(other_.tell(echo(address)), 0) << address;
  }
  EXPECT_EQ(same_user.tell(echo("127.0.0.1")), 0);
  EXPECT_EQ(counter_.arrivals(user, "10.77.0.2"), 20) << "what it sends is not meant";
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, 4U);
  EXPECT_TRUE(sums.closes());
  EXPECT_EQ(user.tell(echo("10.77.0.2")), 0);
}

TEST_F(ProcessTargets, AUserWithinAProcessTree) {
  const json started = daemon_.run_scenario(
      total_loss({{"pid", std::to_string(target_.pid())}, {"uid", "61234"}, {"direction", "egress"}}));
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 20);
  EXPECT_EQ(target_.tell("setpriv --reuid 61234 --clear-groups bash -c \"for i in 1 2 3; do echo x > "
                         "/dev/udp/10.77.0.2/6500; done\""),
            0);
  const Sums sums(daemon_.stop_scenario(started.at("id")));
  EXPECT_EQ(sums.injected, 3U);
  EXPECT_TRUE(sums.closes());
}

TEST_F(ProcessTargets, TwoScenariosOnOneProcessEndApart) {
  const std::string pid = std::to_string(target_.pid());
  const json first = daemon_.run_scenario(total_loss({{"pid", pid}, {"direction", "egress"}}));
  const json second =
      daemon_.run_scenario(total_loss({{"pid", pid}, {"peer", "10.77.0.0/24"}, {"direction", "egress"}}));
  (void)daemon_.stop_scenario(first.at("id"));
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 0);
  EXPECT_EQ(counter_.arrivals(target_, "fd77::2"), 20);
  (void)daemon_.stop_scenario(second.at("id"));
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 20);
}

TEST_F(ProcessTargets, AProcessThatEndsEndsTheScenarioAndNothingIsLeft) {
  auto mortal = std::make_unique<Puppet>(net_.left);
  const json started = daemon_.run_scenario(total_loss({{"pid", std::to_string(mortal->pid())}}));
  mortal.reset();
  json ended;
  EXPECT_TRUE(eventually([&] {
    ended = daemon_.scenario(started.at("id"));
    return ended.at("state") == "failed";
  }));
  EXPECT_EQ(ended.at("end_reason"), "target_gone");
  EXPECT_EQ(attached_programs(net_.left, "l0"), 0U);
  EXPECT_TRUE(daemon_.get("/api/chaos/residue").body.at("residue").empty());
}

TEST_F(ProcessTargets, AProcessThatGetsTheNumberOfOneThatEndedIsLeftAlone) {
  auto mortal = std::make_unique<Puppet>(net_.left);
  const pid_t number = mortal->pid();
  const json started = daemon_.run_scenario(total_loss({{"pid", std::to_string(number)}, {"direction", "egress"}}));
  EXPECT_EQ(counter_.arrivals(*mortal, "10.77.0.2"), 0);
  mortal.reset();
  const Reborn reborn(number, net_.left);
  ASSERT_EQ(reborn.pid(), number);
  // At once, while the scenario still stands.
  counter_.drain();
  reborn.send(20);
  EXPECT_EQ(counter_.collect(20), 20);
  json ended;
  EXPECT_TRUE(eventually([&] {
    reborn.send(5);
    EXPECT_EQ(counter_.collect(5), 5);
    ended = daemon_.scenario(started.at("id"));
    return ended.at("state") == "failed";
  }));
  EXPECT_EQ(ended.at("end_reason"), "target_gone");
  EXPECT_EQ(ended.at("counters").at("injected"), 20);
}

TEST_F(ProcessTargets, TcpOfAUserAndOfProcessesByName) {
  const TempDir dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  const auto program = dir.path() / "chaosprobe";
  std::filesystem::copy_file("/bin/bash", program);
  Puppet target(net_.left, program.string(), "setpriv --reuid 61234 --clear-groups ");
  const UniqueFd four = listen_in(net_.right, 7000);
  // A call that nobody answers is given up after three seconds.
  (void)net_.left.command("sysctl -q -w net.ipv4.tcp_syn_retries=1");
  const std::string ns = net_.left.name();
  for (const json& named : {json{{"netns", ns}, {"uid", "61234"}}, json{{"netns", ns}, {"comm", "chaosprobe"}}}) {
    for (const char* direction : {"egress", "ingress"}) {
      json narrowed = named;
      narrowed["direction"] = direction;
      const json started = daemon_.run_scenario(total_loss(narrowed));
      for (const char* address : {"10.77.0.2", "fd77::2"}) {
        const std::string connect = "exec 7<>/dev/tcp/" + std::string(address) + "/7000";
        // The shell itself connects: what it forks would have another name.
        EXPECT_NE(target.tell("{ " + connect + "; } 2>/dev/null"), 0) << narrowed << address;
        EXPECT_EQ(other_.tell(connect), 0) << narrowed << address;
      }
      const Sums sums(daemon_.stop_scenario(started.at("id")));
      EXPECT_GE(sums.injected, 4U) << narrowed;
      EXPECT_TRUE(sums.closes());
    }
  }
  EXPECT_EQ(target.tell("exec 7<>/dev/tcp/10.77.0.2/7000"), 0);
}

TEST_F(ProcessTargets, KilledDaemonLeavesTheProcessAloneAtOnce) {
  (void)daemon_.run_scenario(total_loss({{"pid", std::to_string(target_.pid())}}));
  const BpfObjects objects = bpf_objects_of(daemon_.pid());
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 0);
  daemon_.signal(SIGKILL);
  (void)daemon_.wait();
  EXPECT_EQ(counter_.arrivals(target_, "10.77.0.2"), 20);
  EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); }));
}

TEST_F(ProcessTargets, WhatIsNoTargetIsRefusedWithItsField) {
  const auto refusal = [&](json target) {
    const Response answer = daemon_.post("/api/chaos/scenarios", total_loss(std::move(target)));
    return std::pair(answer.status, answer.body.value("field", ""));
  };
  const std::string ns = net_.left.name();
  EXPECT_EQ(refusal({{"pid", "0"}}), std::pair(400L, std::string("target.pid")));
  EXPECT_EQ(refusal({{"pid", "x"}}), std::pair(400L, std::string("target.pid")));
  EXPECT_EQ(refusal({{"pid", "4194305"}}), std::pair(404L, std::string("target.pid")));
  EXPECT_EQ(refusal({{"netns", ns}, {"interface", "l0"}, {"uid", "1"}}), std::pair(400L, std::string("target.uid")));
  EXPECT_EQ(refusal({{"netns", ns}, {"uid", "root"}}), std::pair(400L, std::string("target.uid")));
  EXPECT_EQ(refusal({{"netns", ns}, {"comm", "no-such-process"}}), std::pair(404L, std::string("target.comm")));
  EXPECT_EQ(refusal({{"netns", ns}, {"interface", "l0"}, {"comm", "bash"}}),
            std::pair(400L, std::string("target.comm")));
}

}  // namespace
}  // namespace chaos::test
