// component_failure: what makes a component slow. Observers: cgroup files, the CPU time of its processes, a client's
// clock.
#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "component_bed.h"
#include "kernel/features.h"
#include "support/cgroup.h"
#include "support/child.h"
#include "support/connecting.h"
#include "support/halted.h"
#include "support/limited.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST_F(Component, SlowResponseIsFrozenForItsShareOfTheTime) {
  start_daemon();
  const TestCgroup cgroup("slow");
  const TestCgroup other("other");
  const Busy in(cgroup);
  const ClockWatcher watcher(cgroup);
  // On the other CPU, if there are but two: what the machine itself takes away from whoever never sleeps.
  const ClockWatcher control(other);
  for (const double share : {0.2, 0.5, 0.8}) {
    const std::string percent = std::to_string(static_cast<int>(share * 100)) + "%";
    const json started = daemon_->run_scenario(failure(
        {{"cgroup", cgroup.path()}}, {{"failure_type", "slow_response"}, {"frozen", percent}, {"slice", "20ms"}}));
    const auto began = std::chrono::steady_clock::now();
    const auto stood_before = watcher.stood_still();
    const auto control_before = control.stood_still();
    const FrozenShare seen = frozen_share(cgroup, by_size(milliseconds(5000), milliseconds(20000)));
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
    const double lost = (watcher.stood_still() - stood_before) / passed;
    const double lost_anyway = (control.stood_still() - control_before) / passed;
    // What runs for (1 - share) of the time gets as much of that as anybody else does.
    const double felt = 1 - (1 - lost) / (1 - lost_anyway);
    const json ended = daemon_->stop_scenario(id_of(started));
    report_figure("told to stand still, of " + percent + " asked for", seen.told * 100, "%");
    report_figure("all stood still by cgroup.events, of " + percent + " asked for", seen.stood * 100, "%");
    report_figure("felt by a process that never sleeps, of " + percent + " asked for", felt * 100, "%");
    report_figure("lost by its neighbour meanwhile", lost_anyway * 100, "%");
    const double tolerance = by_size(0.06, 0.03) * time_scale();
    EXPECT_NEAR(seen.told, share, tolerance) << ended.at("achieved").dump();
    EXPECT_NEAR(std::stod(ended.at("achieved").value("frozen", "")) / 100, share, tolerance);
    // Nothing runs while it is told to stand still, however busy the machine is.
    EXPECT_GE(lost, share - tolerance);
    // Of a machine that gives its neighbour little either, not much can be told.
    constexpr double kBusy = 0.3;
    if (lost_anyway < kBusy) {
      EXPECT_NEAR(felt, share, by_size(0.25, 0.03) * time_scale());
    }
    // Who waits for the CPU counts as standing still only when he has had it once more: on a busy machine, late.
    EXPECT_GT(seen.stood, share / 4);
    EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "0");
    EXPECT_TRUE(in.works_within(seconds(5)));
  }
}

TEST_F(Component, SlowByThrottleHasLessCpuTime) {
  start_daemon();
  const LimitedCgroup cgroup("cpu");
  const Child busy("/bin/sh", {"sh", "-c", "read -r go; while :; do :; done"});
  cgroup.add(busy.pid());
  busy.write_line("go");
  const std::string file = cgroup.v2() ? "cpu.max" : "cpu.cfs_quota_us";
  const std::string before = cgroup.value(file);
  const json started =
      daemon_->run_scenario(failure({{"cgroup", cgroup.cgroup().path()}},
                                    {{"failure_type", "slow_response"}, {"by", "throttle"}, {"frozen", "95%"}}));
  EXPECT_EQ(started.at("plan").at("ownership"), "journaled");
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr(file));
  const auto began = std::chrono::steady_clock::now();
  const auto used = cpu_time(busy.pid());
  std::this_thread::sleep_for(by_size(seconds(3), seconds(10)));  // a span to divide by
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  const double share = std::chrono::duration<double>(cpu_time(busy.pid()) - used) / passed;
  report_figure("CPUs used, throttled by 95%", share, "CPUs");
  EXPECT_NEAR(share, 0.05 * std::thread::hardware_concurrency(), 0.03);
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("achieved").value("throttled", "").contains(" of "); }));
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(cgroup.value(file), before);
  expect_no_residue();
}

/// A TCP server in a cgroup and a namespace.
std::unique_ptr<Child> server(const TestCgroup& cgroup, const Namespace& ns, int port) {
  return std::make_unique<Child>(
      "/bin/sh", std::vector<std::string>{"sh", "-c",
                                          "echo $$ > " + (cgroup.directory() / "cgroup.procs").string() +
                                              "; exec nsenter --net=/run/netns/" + ns.name() + " iperf3 -s -p " +
                                              std::to_string(port) + " >/dev/null 2>&1"});
}

TEST_F(Component, SlowByLatencyAnswersLaterFromItsPortsAlone) {
  start_daemon();
  const VethPair net("late");
  const TestCgroup cgroup("late");
  const TestCgroup other("other");
  const auto served = server(cgroup, net.left, 7501);
  const auto neighbour = server(other, net.left, 7502);
  // iperf3 listens anew after each connection, and refuses meanwhile.
  const auto answered_after = [&](const std::string& address, std::uint16_t port) {
    double took = 0;
    EXPECT_TRUE(eventually([&] {
      try {
        took = connect_ms(net.right, address, port);
        return true;
      } catch (const std::runtime_error&) {
        return false;
      }
    })) << address
        << ' ' << port;
    return took;
  };
  const json late{{"failure_type", "slow_response"}, {"by", "latency"}, {"delay", "150ms"}};
  (void)answered_after("10.77.0.1", 7501);
  const json started = daemon_->run_scenario(failure({{"cgroup", cgroup.path()}}, late));
  EXPECT_EQ(started.at("plan").at("ownership"), has_tcx() ? "file_descriptor" : "journaled");
  EXPECT_THAT(started.at("plan").at("notes").dump(), HasSubstr("its ports: 7501"));
  for (const char* address : {"10.77.0.1", "fd77::1"}) {
    EXPECT_GE(answered_after(address, 7501), 145);
    EXPECT_LT(answered_after(address, 7502), 100 * time_scale());
  }
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_GE(ended.at("counters").at("injected").get<int>(), 2);
  EXPECT_LT(answered_after("10.77.0.1", 7501), 100 * time_scale());
  // Who serves nobody has no answers.
  const TestCgroup silent("silent");
  const Busy in(silent);
  const Response refused = daemon_->post("/api/chaos/scenarios", failure({{"cgroup", silent.path()}}, late));
  EXPECT_EQ(refused.status, 404) << refused.text;
  EXPECT_EQ(refused.body.value("field", ""), "target.local-port");
  expect_no_residue();
}

}  // namespace
}  // namespace chaos::test
