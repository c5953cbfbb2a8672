// component_failure: what hangs, and what is refused, on real processes and cgroups. Observers: /proc, cgroup files,
// the processes' own files.
#include <gmock/gmock.h>

#include <fstream>

#include "component_bed.h"
#include "support/cgroup.h"
#include "support/child.h"
#include "support/halted.h"
#include "support/limited.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

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

TEST_F(Component, APlaceThatOnlyV1KnowsIsFrozenByItsFreezer) {
  if (!V1Freezer::available()) GTEST_SKIP() << "this host has no v1 freezer";
  const V1Freezer place("place");
  const TestCgroup home("home");
  const Busy in(home);
  place.add(in.pid());
  start_daemon("services: {victim: {cgroup: " + place.path() + "}}\n");
  const json started = daemon_->run_scenario(hang({{"service", "victim"}}));
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr("the freezer of cgroup v1"));
  EXPECT_TRUE(eventually([&] { return place.state() == "FROZEN"; }));
  EXPECT_FALSE(in.works_within(milliseconds(300)));
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("achieved").value("halted", "") == "1 of 1 cgroups"; }));
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_TRUE(ended.at("warnings").empty()) << ended.at("warnings").dump();
  EXPECT_EQ(place.state(), "THAWED");
  EXPECT_TRUE(in.works_within(seconds(5)));
  // In slices too.
  const json slow =
      daemon_->run_scenario(failure({{"service", "victim"}}, {{"failure_type", "slow_response"}, {"frozen", "80%"}}));
  EXPECT_TRUE(eventually([&] { return daemon_->scenario(id_of(slow)).at("counters").at("injected").get<int>() > 20; }));
  EXPECT_EQ(daemon_->stop_scenario(id_of(slow)).at("state"), "completed");
  EXPECT_EQ(place.state(), "THAWED");
  expect_no_residue();
}

TEST_F(Component, APlaceThatIsSharedIsHaltedProcessByProcess) {
  if (!V1Freezer::available()) GTEST_SKIP() << "this host has no v1 freezer";
  const V1Freezer place("shared");
  const TestCgroup home("home");
  const TestCgroup other("other");
  const Busy in(home);
  const Busy stranger(other);
  place.add(in.pid());
  // In the freezer's cgroup, and in one of its own in the v2 tree, so that it belongs elsewhere.
  place.add(stranger.pid());
  other.add(stranger.pid());
  start_daemon("services: {victim: {cgroup: " + place.path() + "}}\n");
  const json started = daemon_->run_scenario(hang({{"service", "victim"}}));
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr("SIGSTOP"));
  EXPECT_TRUE(eventually([&] { return is_stopped(in.pid()); }));
  EXPECT_TRUE(stranger.works_within(seconds(5)));
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_TRUE(in.works_within(seconds(5)));
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
