// component_failure on real processes and cgroups. Observers: /proc, cgroup files, the processes' own files.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "reborn.h"
#include "support/cgroup.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

json failure(json target, json parameters, const std::string& duration = "1m") {
  return {{"kind", "component_failure"},
          {"target", std::move(target)},
          {"parameters", std::move(parameters)},
          {"duration", duration}};
}

json hang(json target) { return failure(std::move(target), {{"failure_type", "hang"}}); }

/// A shell that starts a process again whenever it has ended: its number goes to `pid_file`, all of them to `log`.
class Supervised {
 public:
  Supervised() : shell_("/bin/sh", {"sh", "-c", script()}) {
    if (!eventually([&] { return !pids().empty(); })) throw std::runtime_error("nothing is supervised");
  }
  [[nodiscard]] pid_t supervisor() const { return shell_.pid(); }
  [[nodiscard]] std::string pid_file() const { return (dir_.path() / "pid").string(); }
  /// Oldest first.
  [[nodiscard]] std::vector<pid_t> pids() const {
    std::ifstream log(dir_.path() / "log");
    std::vector<pid_t> all;
    for (pid_t pid = 0; log >> pid;) all.push_back(pid);
    return all;
  }

 private:
  [[nodiscard]] std::string script() const {
    const std::string dir = dir_.path().string();
    return "while :; do setpriv --pdeathsig KILL sleep 1000 & echo $! > " + dir + "/pid; echo $! >> " + dir +
           "/log; wait $!; done";
  }
  TempDir dir_;
  Child shell_;
};

class Component : public testing::Test {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
  void start_daemon(const std::string& services = "") {
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, scenarios: {component_failure: "
        "{target_services: [victim]}}}\n" +
        services;
    daemon_ = std::make_unique<Daemon>(std::move(setup));
    ASSERT_TRUE(eventually([&] { return daemon_->get("/health").body.value("guardian_pid", json()).is_number(); }));
  }
  void expect_no_residue() const {
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Component, AHungCgroupStandsStillWithAllBelowItAndNobodyElse) {
  start_daemon();
  TestCgroup cgroup("hang");
  TestCgroup below(cgroup, "below");
  TestCgroup other("other");
  const Busy in(cgroup);
  const Busy deeper(below);
  const Busy outside(other);
  const json started = daemon_->run_scenario(hang({{"cgroup", cgroup.path()}}));
  EXPECT_EQ(started.at("plan").at("ownership"), "journaled");
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr("cgroup.freeze"));
  EXPECT_TRUE(eventually([&] { return is_frozen(cgroup); }));
  EXPECT_FALSE(in.works_within(milliseconds(300)));
  EXPECT_FALSE(deeper.works_within(milliseconds(300)));
  EXPECT_TRUE(outside.works_within(seconds(5)));
  // What comes later is covered as well.
  other.add(outside.pid());
  cgroup.add(outside.pid());
  EXPECT_TRUE(eventually([&] { return !outside.works_within(milliseconds(200)); }));
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("achieved").value("halted", "") == "1 of 1 cgroups"; }));
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_EQ(ended.at("counters").at("injected"), 1);
  EXPECT_TRUE(ended.at("warnings").empty()) << ended.at("warnings").dump();
  EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "0");
  for (const Busy* busy : {&in, &deeper, &outside}) EXPECT_TRUE(busy->works_within(seconds(5)));
  expect_no_residue();
}

TEST_F(Component, AHungProcessStandsStillWithWhatItForks) {
  start_daemon();
  // Forks a child that works, again and again.
  const Child forker("/bin/sh",
                     {"sh", "-c", "while :; do (i=0; while [ $i -lt 300 ]; do i=$((i+1)); done) & wait; done"});
  const TestCgroup other("other");
  const Busy outside(other);
  const json started = daemon_->run_scenario(hang({{"pid", std::to_string(forker.pid())}}));
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr("SIGSTOP"));
  const auto tree = [&] { return tree_of(forker.pid()); };
  EXPECT_TRUE(eventually([&] { return all_in_state(tree(), 'T'); }));
  const auto before = tree();
  EXPECT_FALSE(eventually([&] { return tree() != before || !all_in_state(tree(), 'T'); }, milliseconds(500)));
  EXPECT_TRUE(outside.works_within(seconds(5)));
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_TRUE(eventually([&] { return tree() != before; })) << "it does not fork again";
  expect_no_residue();
}

TEST_F(Component, PulsesHangAndLetGo) {
  start_daemon();
  const TestCgroup cgroup("pulse");
  const Busy in(cgroup);
  const json started = daemon_->run_scenario(
      failure({{"cgroup", cgroup.path()}}, {{"failure_type", "hang"}, {"pulse_on", "400ms"}, {"pulse_off", "400ms"}}));
  for (int pulse = 0; pulse < 3; ++pulse) {
    EXPECT_TRUE(eventually([&] { return is_frozen(cgroup); }));
    EXPECT_TRUE(eventually([&] { return !is_frozen(cgroup); }));
  }
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_GE(ended.at("counters").at("injected").get<int>(), 3);
  EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "0");
}

TEST_F(Component, SlowResponseIsFrozenForItsShareOfTheTime) {
  start_daemon();
  const TestCgroup cgroup("slow");
  const Busy in(cgroup);
  for (const double share : {0.2, 0.5, 0.8}) {
    const std::string percent = std::to_string(static_cast<int>(share * 100)) + "%";
    const json started = daemon_->run_scenario(failure(
        {{"cgroup", cgroup.path()}}, {{"failure_type", "slow_response"}, {"frozen", percent}, {"slice", "20ms"}}));
    const FrozenShare seen = frozen_share(cgroup, by_size(milliseconds(5000), milliseconds(20000)));
    const json ended = daemon_->stop_scenario(id_of(started));
    report_figure("told to stand still, of " + percent + " asked for", seen.told * 100, "%");
    report_figure("all stood still, of " + percent + " asked for", seen.stood * 100, "%");
    const double tolerance = by_size(0.06, 0.03);
    EXPECT_NEAR(seen.told, share, tolerance) << ended.at("achieved").dump();
    EXPECT_NEAR(std::stod(ended.at("achieved").value("frozen", "")) / 100, share, tolerance);
    // Who waits for the CPU stands still only when he has had it once more: on a busy machine, late.
    EXPECT_GT(seen.stood, share / 4);
    EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "0");
    EXPECT_TRUE(in.works_within(seconds(5)));
  }
}

TEST_F(Component, AThawBySomebodyElseStaysAndIsReported) {
  start_daemon();
  const TestCgroup cgroup("theirs");
  const Busy in(cgroup);
  const json started = daemon_->run_scenario(hang({{"cgroup", cgroup.path()}}));
  EXPECT_TRUE(eventually([&] { return is_frozen(cgroup); }));
  std::ofstream(cgroup.directory() / "cgroup.freeze") << "0" << std::flush;
  json record;
  EXPECT_TRUE(eventually([&] {
    record = daemon_->scenario(id_of(started));
    return record.at("warnings").dump().contains("somebody else has changed it");
  })) << record.dump(1);
  EXPECT_TRUE(in.works_within(seconds(5)));
  // And a freeze of theirs is not undone at the end.
  std::ofstream(cgroup.directory() / "cgroup.freeze") << "1" << std::flush;
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "1");
  std::ofstream(cgroup.directory() / "cgroup.freeze") << "0" << std::flush;
  expect_no_residue();
}

TEST_F(Component, WhatSomebodyElseHasFrozenIsNotTaken) {
  start_daemon();
  const TestCgroup cgroup("taken");
  std::ofstream(cgroup.directory() / "cgroup.freeze") << "1" << std::flush;
  const Response refused = daemon_->post("/api/chaos/scenarios", hang({{"cgroup", cgroup.path()}}));
  EXPECT_EQ(refused.status, 409) << refused.text;
  EXPECT_THAT(refused.body.value("detail", ""), HasSubstr("frozen already"));
  EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "1");
  std::ofstream(cgroup.directory() / "cgroup.freeze") << "0" << std::flush;
}

TEST_F(Component, ACrashEndsTheMainProcessOnceAndTellsHowFastItCameBack) {
  const Supervised service;
  start_daemon("services: {victim: {pid_file: " + service.pid_file() + "}}\n");
  const pid_t first = service.pids().back();
  const json started =
      daemon_->run_scenario(failure({{"service", "victim"}}, {{"failure_type", "crash"}, {"signal", "SIGTERM"}}));
  EXPECT_EQ(started.at("plan").at("ownership"), "process");
  EXPECT_THAT(started.at("plan").at("notes").dump(), HasSubstr("process " + std::to_string(first)));
  EXPECT_TRUE(eventually([&] { return service.pids().size() == 2; }));
  json record;
  EXPECT_TRUE(eventually([&] {
    record = daemon_->scenario(id_of(started));
    return record.at("achieved").value("came_back", "") == "1 of 1";
  })) << record.dump(1);
  EXPECT_EQ(record.at("state"), "active");
  EXPECT_EQ(record.at("achieved").value("died", ""), "1 of 1");
  EXPECT_TRUE(record.at("achieved").contains("back_after"));
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("counters").at("injected"), 1);
  EXPECT_EQ(service.pids().size(), 2U);
  EXPECT_TRUE(exists(service.supervisor()));
}

TEST_F(Component, ARestartLoopHitsTheCurrentMainProcessEachTime) {
  const Supervised service;
  start_daemon("services: {victim: {pid_file: " + service.pid_file() + "}}\n");
  const json started =
      daemon_->run_scenario(failure({{"service", "victim"}}, {{"failure_type", "crash"}, {"every", "1s"}}));
  constexpr std::size_t kCrashes = 4;
  EXPECT_TRUE(eventually([&] { return service.pids().size() > kCrashes; }, seconds(20)));
  const json ended = daemon_->stop_scenario(id_of(started));
  const auto pids = service.pids();
  const auto crashes = ended.at("counters").at("injected").get<std::size_t>();
  EXPECT_EQ(pids.size(), crashes + 1) << ended.dump(1);
  for (std::size_t i = 0; i + 1 < pids.size(); ++i) EXPECT_FALSE(exists(pids[i]));
  EXPECT_TRUE(exists(pids.back()));
  EXPECT_TRUE(exists(service.supervisor()));
  expect_no_residue();
}

TEST_F(Component, AStrangerWithTheSameNumberLives) {
  start_daemon();
  const VethPair net("stranger");
  auto victim = std::make_unique<Puppet>(net.left);
  const pid_t number = victim->pid();
  const json started =
      daemon_->run_scenario(failure({{"pid", std::to_string(number)}}, {{"failure_type", "crash"}, {"every", "1s"}}));
  EXPECT_TRUE(
      eventually([&] { return daemon_->scenario(id_of(started)).at("achieved").value("died", "") == "1 of 1"; }));
  victim.reset();
  const Reborn stranger(number, net.left);
  ASSERT_EQ(stranger.pid(), number);
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("counters").at("unmatched").get<int>() >= 3; }, seconds(20)));
  stranger.send(1);  // throws unless it lives
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("counters").at("injected"), 1);
  EXPECT_TRUE(exists(number));
}

TEST_F(Component, WhatMustLiveIsRefused) {
  start_daemon();
  for (const pid_t pid : {pid_t{1}, daemon_->pid()}) {
    for (const char* type : {"crash", "hang", "slow_response"}) {
      const Response refused =
          daemon_->post("/api/chaos/scenarios", failure({{"pid", std::to_string(pid)}}, {{"failure_type", type}}));
      EXPECT_EQ(refused.status, 409) << refused.text;
      EXPECT_THAT(refused.body.value("detail", ""), HasSubstr("process " + std::to_string(pid)));
    }
  }
  const TestCgroup cgroup("own");
  cgroup.add(daemon_->pid());
  EXPECT_EQ(daemon_->post("/api/chaos/scenarios", hang({{"cgroup", cgroup.path()}})).status, 409);
  std::ofstream(cgroup_mount() / "cgroup.procs") << daemon_->pid() << std::flush;
}

TEST_F(Component, WhatMakesNoSenseIsRefusedWithItsField) {
  start_daemon();
  const TestCgroup cgroup("fields");
  const auto refusal = [&](json target, json parameters) {
    const Response answer = daemon_->post("/api/chaos/scenarios", failure(std::move(target), std::move(parameters)));
    return std::pair(answer.status, answer.body.value("field", ""));
  };
  const json good{{"cgroup", cgroup.path()}};
  json ported = good;
  ported["port"] = "80";
  EXPECT_EQ(refusal(ported, {{"failure_type", "hang"}}), std::pair(400L, std::string("target.port")));
  EXPECT_EQ(refusal({{"interface", "lo"}}, {{"failure_type", "hang"}}),
            std::pair(400L, std::string("target.interface")));
  EXPECT_EQ(refusal(good, json::object()), std::pair(400L, std::string("parameters.failure_type")));
  EXPECT_EQ(refusal(good, {{"failure_type", "hang"}, {"pulse_on", "1s"}}),
            std::pair(400L, std::string("parameters.pulse_on")));
  EXPECT_EQ(refusal(good, {{"failure_type", "hang"}, {"every", "1s"}}),
            std::pair(400L, std::string("parameters.every")));
  EXPECT_EQ(refusal(good, {{"failure_type", "slow_response"}, {"slice", "51ms"}}),
            std::pair(400L, std::string("parameters.slice")));
  EXPECT_EQ(value_of(cgroup, "cgroup.freeze"), "0");
}

}  // namespace
}  // namespace chaos::test
