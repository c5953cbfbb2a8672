// resource_exhaustion on real cgroups, of whichever version this host has the controllers in. Observers: the cgroups'
// own files, /proc, fork(2) by a shell.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

/// A process in the cgroup that burns a CPU from when it is there.
std::unique_ptr<Child> spinner(const LimitedCgroup& cgroup) {
  auto child =
      std::make_unique<Child>("/bin/sh", std::vector<std::string>{"sh", "-c", "read -r go; while :; do :; done"});
  cgroup.add(child->pid());
  child->write_line("go");
  return child;
}

class Exhaustion : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    daemon_ = std::make_unique<Daemon>();
    ASSERT_TRUE(eventually([&] { return daemon_->get("/health").body.value("guardian_pid", json()).is_number(); }));
  }
  static json request(const json& target, const std::string& resource, const std::string& mode,
                      const std::string& level) {
    return {{"kind", "resource_exhaustion"},
            {"target", target},
            {"parameters", {{"resource", resource}, {"mode", mode}, {"level", level}}},
            {"duration", "1m"}};
  }
  static json throttle(const LimitedCgroup& cgroup, const std::string& level) {
    return request({{"cgroup", cgroup.cgroup().path()}}, "cpu", "throttle", level);
  }
  static json limit(const LimitedCgroup& cgroup, const std::string& level) {
    return request({{"cgroup", cgroup.cgroup().path()}}, "pids", "limit", level);
  }
  static std::string quota_file(const LimitedCgroup& cgroup) { return cgroup.v2() ? "cpu.max" : "cpu.cfs_quota_us"; }
  void expect_no_residue() const {
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Exhaustion, ThrottledCpuTimeIsWhatWasLeft) {
  const LimitedCgroup cgroup("cpu");
  const LimitedCgroup other("cpu");
  const auto first = spinner(cgroup);
  const auto second = spinner(cgroup);
  const auto neighbour = spinner(other);
  const std::string before = cgroup.value(quota_file(cgroup));
  const auto cpus = static_cast<double>(std::thread::hardware_concurrency());
  // Little is left, so that a busy machine can give it.
  for (const double level : {0.9, 0.95}) {
    const std::string percent = std::to_string(static_cast<int>(level * 100 + 0.5)) + "%";
    const json started = daemon_->run_scenario(throttle(cgroup, percent));
    EXPECT_EQ(started.at("plan").at("ownership"), "journaled");
    EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr(quota_file(cgroup)));
    const auto used = [&] { return cpu_time(first->pid()) + cpu_time(second->pid()); };
    const auto began = std::chrono::steady_clock::now();
    const auto used_before = used();
    std::this_thread::sleep_for(by_size(seconds(4), seconds(10)));  // a span to divide by
    const auto passed = std::chrono::steady_clock::now() - began;
    const double share = std::chrono::duration<double>(used() - used_before) / std::chrono::duration<double>(passed);
    report_figure("CPUs used at a level of " + percent, share, "CPUs");
    EXPECT_NEAR(share, (1 - level) * cpus, 0.05);
    json record;
    EXPECT_TRUE(eventually([&] {
      record = daemon_->scenario(id_of(started));
      return record.at("achieved").value("throttled", "").contains(" of ");
    })) << record.dump(1);
    const json ended = daemon_->stop_scenario(id_of(started));
    EXPECT_EQ(ended.at("state"), "completed");
    EXPECT_EQ(ended.at("counters").at("injected"), 1);
    EXPECT_EQ(cgroup.value(quota_file(cgroup)), before);
  }
  EXPECT_EQ(other.value(quota_file(other)), before);
  EXPECT_TRUE(exists(neighbour->pid()));
  expect_no_residue();
}

TEST_F(Exhaustion, ALimitOfTasksLetsNoForkSucceed) {
  const LimitedCgroup cgroup("pids");
  // Tells whether it could fork, each time that it is asked.
  Child shell("/bin/bash", {"bash", "-c", "while read -r word; do (exit 0) && echo forked || echo failed; done"});
  cgroup.add(shell.pid());
  const auto fork_outcome = [&] {
    shell.write_line("now");
    return shell.read_line();
  };
  EXPECT_EQ(fork_outcome(), "forked");
  const json started = daemon_->run_scenario(limit(cgroup, "50%"));
  EXPECT_EQ(cgroup.value("pids.max"), "0");
  // bash tries again a few times and then ends the subshell's line with an error, which is not its own end.
  shell.write_line("now");
  EXPECT_TRUE(
      eventually([&] { return daemon_->scenario(id_of(started)).at("achieved").value("failed_forks", "0") != "0"; }));
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_EQ(cgroup.value("pids.max"), "max");
  EXPECT_THAT(shell.read_line(), testing::AnyOf("failed", "forked"));
  EXPECT_EQ(fork_outcome(), "forked");
  expect_no_residue();
}

TEST_F(Exhaustion, ALimitThatSomebodyElseChangesStaysTheirs) {
  const LimitedCgroup cgroup("pids");
  const Child inside("/bin/sleep", {"sleep", "1000"});
  cgroup.add(inside.pid());
  const json started = daemon_->run_scenario(limit(cgroup, "50%"));
  EXPECT_EQ(cgroup.value("pids.max"), "0");
  cgroup.set("pids.max", "77");
  json record;
  EXPECT_TRUE(eventually([&] {
    record = daemon_->scenario(id_of(started));
    return record.at("warnings").dump().contains("reads '77', where it was '0'");
  })) << record.dump(1);
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(cgroup.value("pids.max"), "77");
  expect_no_residue();
}

TEST_F(Exhaustion, WhatCannotBeLimitedIsRefusedWithTheReason) {
  const LimitedCgroup cgroup("pids");
  const Child inside("/bin/sleep", {"sleep", "1000"});
  const Child stranger("/bin/sleep", {"sleep", "1000"});
  cgroup.add(inside.pid());
  const auto refusal = [&](const json& body) {
    const Response answer = daemon_->post("/api/chaos/scenarios", body);
    return std::tuple(answer.status, answer.body.value("field", ""), answer.body.value("rule", "").empty());
  };
  const json target{{"cgroup", cgroup.cgroup().path()}};
  EXPECT_EQ(refusal(request(target, "cpu", "limit", "50%")), std::tuple(400L, std::string("parameters.mode"), false));
  EXPECT_EQ(refusal(request(target, "pids", "throttle", "50%")),
            std::tuple(400L, std::string("parameters.mode"), false));
  EXPECT_EQ(refusal(request(target, "pids", "limit", "101%")),
            std::tuple(400L, std::string("parameters.level"), false));
  // The limit that is there is tighter.
  cgroup.set("pids.max", "0");
  EXPECT_EQ(refusal(limit(cgroup, "50%")), std::tuple(409L, std::string("parameters.level"), false));
  cgroup.set("pids.max", "max");
  if (!cgroup.v2()) {
    // Another's process in the same v1 cgroup would be limited as well.
    std::ofstream(cgroup.directory() / "cgroup.procs") << stranger.pid() << std::flush;
    EXPECT_EQ(refusal(limit(cgroup, "50%")), std::tuple(409L, std::string("target"), false));
  }
  EXPECT_EQ(cgroup.value("pids.max"), "max");
}

}  // namespace
}  // namespace chaos::test
