// component_failure: crashes and restart loops. Observers: who starts the component again, /proc.
#include <gmock/gmock.h>

#include <memory>

#include "component_bed.h"
#include "puppet.h"
#include "reborn.h"
#include "support/halted.h"
#include "support/requests.h"
#include "support/supervised.h"
#include "support/temp_dir.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

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

TEST_F(Component, AStrangerWithTheNumberOfAFormerMainProcessLives) {
  const Supervised service;
  start_daemon("services: {victim: {pid_file: " + service.pid_file() + "}}\n");
  const VethPair net("former");
  const pid_t first = service.pids().back();
  const json started =
      daemon_->run_scenario(failure({{"service", "victim"}}, {{"failure_type", "crash"}, {"every", "1s"}}));
  ASSERT_TRUE(eventually([&] { return service.pids().size() >= 2; }, seconds(10)));
  const Reborn stranger(first, net.left);
  ASSERT_EQ(stranger.pid(), first);
  const std::size_t crashes = service.pids().size();
  EXPECT_TRUE(eventually([&] { return service.pids().size() >= crashes + 3; }, seconds(20)));
  stranger.send(1);  // throws unless it lives
  EXPECT_TRUE(exists(stranger.pid()));
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(service.pids().size(), ended.at("counters").at("injected").get<std::size_t>() + 1) << ended.dump(1);
  expect_no_residue();
}

TEST_F(Component, AStrangerWhoHasTheNumberInThePidFileLives) {
  // Nobody starts it again: the file names a number that becomes another's.
  const TempDir dir;
  const VethPair net("stale");
  auto victim = std::make_unique<Puppet>(net.left);
  const pid_t number = victim->pid();
  const auto file = dir.write("pid", std::to_string(number) + "\n");
  start_daemon("services: {victim: {pid_file: " + file.string() + "}}\n");
  const json started =
      daemon_->run_scenario(failure({{"service", "victim"}}, {{"failure_type", "crash"}, {"every", "1s"}}));
  EXPECT_TRUE(
      eventually([&] { return daemon_->scenario(id_of(started)).at("achieved").value("died", "") == "1 of 1"; }));
  victim.reset();
  const Reborn stranger(number, net.left);
  ASSERT_EQ(stranger.pid(), number);
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("counters").at("unmatched").get<int>() >= 3; }, seconds(20)));
  stranger.send(1);  // throws unless it lives
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("counters").at("injected"), 1);
  EXPECT_TRUE(exists(number));
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

}  // namespace
}  // namespace chaos::test
