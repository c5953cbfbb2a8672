// A component that is halted or starved when chaosd dies, hangs or is told to stop: it goes on at once, and its
// cgroup and its limits are as they were. Observers: cgroup.events and the values of the cgroup, /proc, prlimit(2), a
// process that counts.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <thread>

#include "ends.h"
#include "halt_bed.h"
#include "support/kernel_test.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

using Case = std::tuple<By, Phase>;

class HaltKilled : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(HaltKilled, TheTargetGoesOnAtOnce) {
  const auto [by, phase] = GetParam();
  HaltBed bed(by);
  if (!bed.possible()) return bed.expect_refused();
  expect_ends_when_killed(
      bed, phase, by_size(2, 25), [&] { return bed.halt(); }, name_of(by));
}

INSTANTIATE_TEST_SUITE_P(All, HaltKilled,
                         testing::Combine(testing::ValuesIn(kAllBys),
                                          testing::Values(Phase::kStarting, Phase::kActive, Phase::kStopping)),
                         [](const auto& param) {
                           return std::string(name_of(std::get<0>(param.param))) + name_of(std::get<1>(param.param));
                         });

class Halt : public testing::TestWithParam<By> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(Halt, AHangOfChaosdEndsItAndNothingComesBack) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  expect_ends_with_a_hang(bed, bed.halt());
}

TEST_P(Halt, TheDeadlineEndsIt) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  expect_ends_in_time(bed, 1, [&] { return !bed.as_before(); });
}

TEST_P(Halt, TheEmergencyStopEndsIt) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  expect_ends_with_the_emergency_stop(bed, bed.halt());
}

TEST_P(Halt, BothKilledTheNextStartEndsIt) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  (void)bed.halt();
  const pid_t guardian = bed.guardian();
  ASSERT_EQ(::kill(guardian, SIGSTOP), 0);  // so that it cannot act between the two
  bed.daemon->signal(SIGKILL);
  (void)bed.daemon->wait();
  ::kill(guardian, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !exists(guardian); }));
  EXPECT_TRUE(bed.on_record());
  const auto started = steady_clock::now();
  bed.daemon->start();
  report_figure("start to as before", bed.time_to_as_before(started).count(), "ms");
  bed.expect_as_before();
  EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
}

/// Without pulses, which come and go: what is set between two of them is a test of the journal's (Journaled).
class HaltMeddled : public Halt {};

TEST_P(HaltMeddled, WhatSomebodyElseSetsMeanwhileStaysTheirsAndIsReported) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  const std::string id = bed.halt();
  const auto theirs = bed.somebody_else();
  ASSERT_FALSE(theirs.holds());
  theirs.set();
  json record;
  EXPECT_TRUE(eventually([&] {
    record = bed.daemon->scenario(id);
    return record.at("warnings").dump().contains("somebody else");
  })) << record.dump(1);
  EXPECT_TRUE(theirs.holds());
  EXPECT_EQ(bed.daemon->stop_scenario(id).at("state"), "completed");
  EXPECT_TRUE(theirs.holds());
  EXPECT_FALSE(bed.on_record());
  EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
}

TEST_P(Halt, AnOrderlyEndOfChaosdEndsIt) {
  HaltBed bed(GetParam());
  if (!bed.possible()) return bed.expect_refused();
  (void)bed.halt();
  EXPECT_EQ(bed.daemon->stop(), 0);
  bed.expect_as_before();
}

INSTANTIATE_TEST_SUITE_P(All, HaltMeddled,
                         testing::Values(By::kCgroup, By::kProcess, By::kPlace, By::kSlow, By::kQuota, By::kTasks,
                                         By::kFiles, By::kMemory, By::kDisk),
                         [](const auto& param) { return name_of(param.param); });

INSTANTIATE_TEST_SUITE_P(All, Halt, testing::ValuesIn(kAllBys), [](const auto& param) { return name_of(param.param); });

}  // namespace
}  // namespace chaos::test
