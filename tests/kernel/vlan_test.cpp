// Packets of 802.1Q devices are held once, whichever device they are held at. Observers: ping, sockets' own clocks.
// Runs where the kernel has 8021q, which the build machine's has not (KERNEL.md).
#include <gtest/gtest.h>

#include "delay_line_bed.h"
#include "support/cgroup.h"
#include "support/connecting.h"

namespace chaos::test {
namespace {

using nlohmann::json;

/// Devices "tagged" on both hosts, 10.78.0.1 and 10.78.0.2, in VLAN 5.
class Vlan : public DelayLine {
 protected:
  void SetUp() override {
    DelayLine::SetUp();
    if (IsSkipped()) return;
    if (!knows_vlans(net_->left)) GTEST_SKIP() << "this kernel has no 8021q";
    add_to(net_->left, "l0", "1");
    add_to(net_->right, "r0", "2");
    ASSERT_TRUE(eventually([&] { return !round_trips("10.78.0.2", 1).empty(); }));
  }

 private:
  static bool knows_vlans(const Namespace& ns) {
    const std::string ip = "ip -n " + ns.name() + " link ";
    const Outcome made = try_shell(ip + "add link l0 name probe type vlan id 6 2>&1 && " + ip + "delete probe 2>&1");
    return made.status == 0 || !made.output.contains("Unknown device type");
  }
  static void add_to(const Namespace& ns, const std::string& device, const std::string& host) {
    const std::string ip = "ip -n " + ns.name() + " ";
    (void)shell(ip + "link add link " + device + " name tagged type vlan id 5 && " + ip + "address add 10.78.0." +
                host + "/24 dev tagged && " + ip + "link set tagged up");
  }
};

TEST_F(Vlan, HeldAtTheDeviceBelowAndAtItsOwn) {
  for (const char* device : {"l0", "tagged"}) {
    for (const char* direction : {"egress", "ingress"}) {
      const std::string id = begin("latency_injection", {{"delay", "200ms"}}, direction, {{"interface", device}});
      const auto times = round_trips("10.78.0.2", 3);
      ASSERT_EQ(times.size(), 3U) << device << ' ' << direction;
      EXPECT_GE(least(times), 200.0) << device << ' ' << direction;
      EXPECT_LT(least(times), 400.0) << device << ' ' << direction;
      const Sums sums(daemon_->stop_scenario(id));
      EXPECT_GE(sums.injected, 3U) << device << ' ' << direction;
      EXPECT_TRUE(sums.closes());
    }
  }
}

TEST_F(Vlan, WhatArrivesForACgroupIsHeldOnceThoughTwoDevicesSeeIt) {
  const TestCgroup target("vlan");
  const TestCgroup other("beside");
  const auto member = idle_process(target, net_->left);
  UniqueFd meant;
  UniqueFd beside;
  target.run([&] { meant = listen_in(net_->left, 7001); });
  other.run([&] { beside = listen_in(net_->left, 7002); });
  const std::string id = id_of(daemon_->run_scenario({{"kind", "latency_injection"},
                                                      {"target", {{"cgroup", target.path()}, {"direction", "ingress"}}},
                                                      {"parameters", {{"delay", "200ms"}}},
                                                      {"duration", "120s"}}));
  for (const char* address : {"10.78.0.1", "10.77.0.1"}) {
    const double held = connect_ms(net_->right, address, 7001);
    EXPECT_GE(held, 200.0) << address;
    EXPECT_LT(held, 400.0) << address << ": held at both devices";
    EXPECT_LT(connect_ms(net_->right, address, 7002), 100.0) << address;
  }
  EXPECT_TRUE(Sums(daemon_->stop_scenario(id)).closes());
}

}  // namespace
}  // namespace chaos::test
