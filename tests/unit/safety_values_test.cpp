// What counts as one value in files of the kernel's, and the limits of open files that a death leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "kernel/fd_limits.h"
#include "kernel/processes.h"
#include "safety/kernel_value.h"
#include "safety/undo_fd_limits.h"
#include "tests/support/child.h"

namespace chaos {
namespace {

using testing::HasSubstr;

TEST(KernelValue, AWholeFileIsItsTextWithoutTheLinesEnd) {
  EXPECT_EQ(value_in("max 100000\n", {"/x/cpu.max"}), "max 100000");
  EXPECT_EQ(text_for("5 100000", {"/x/cpu.max"}), "5 100000");
}

TEST(KernelValue, AV1FreezerOnItsWayIsThere) {
  EXPECT_EQ(value_in("FREEZING\n", {"/x/freezer.state"}), "FROZEN");
  EXPECT_EQ(value_in("FROZEN\n", {"/x/freezer.state"}), "FROZEN");
  EXPECT_EQ(value_in("THAWED\n", {"/x/freezer.state"}), "THAWED");
  EXPECT_EQ(value_in("FREEZING\n", {"/x/other"}), "FREEZING");
}

TEST(KernelValue, ADeviceHasItsOwnValueInEachDirection) {
  const std::string io_max = "8:16 rbps=5 wbps=1048576 riops=max wiops=120\n8:1 rbps=max wbps=7 riops=max wiops=max\n";
  EXPECT_EQ(value_in(io_max, {"/x/io.max", "8:16 wbps"}), "1048576");
  EXPECT_EQ(value_in(io_max, {"/x/io.max", "8:16 riops"}), "max");
  EXPECT_EQ(value_in(io_max, {"/x/io.max", "8:1 wbps"}), "7");
  EXPECT_EQ(value_in(io_max, {"/x/io.max", "8:0 wbps"}), "max");
  EXPECT_EQ(value_in("", {"/x/io.max", "8:0 wbps"}), "max");
  EXPECT_EQ(text_for("max", {"/x/io.max", "8:16 wbps"}), "8:16 wbps=max");
  const std::string v1 = "8:16 1048576\n8:1 9\n";
  EXPECT_EQ(value_in(v1, {"/x/blkio.throttle.write_bps_device", "8:1"}), "9");
  EXPECT_EQ(value_in(v1, {"/x/blkio.throttle.write_bps_device", "8:0"}), "0");
  EXPECT_EQ(text_for("0", {"/x/blkio.throttle.write_bps_device", "8:1"}), "8:1 0");
}

Process process(pid_t pid, pid_t parent, std::uint64_t start_ticks, std::string cgroup = "/") {
  return {.pid = pid,
          .parent = parent,
          .uid = 0,
          .comm = "x",
          .executable = {},
          .cgroup = std::move(cgroup),
          .cgroup2 = {},
          .netns = {},
          .start_ticks = start_ticks};
}

TEST(FdLimitOrigin, IsAnAncestorElseTheCgroupOrTheSession) {
  const FdLimitsLowered lowered{5, {{20, 500, 1024, 4096, 9, "/"}, {30, 600, 2048, 4096, 7, "/unit"}}};
  const std::vector<Process> all{process(20, 1, 500),          process(21, 20, 550),         process(22, 21, 700),
                                 process(40, 1, 700, "/unit"), process(41, 1, 400, "/unit"), process(42, 1, 700)};
  const auto before = [&](std::size_t index, pid_t session) -> std::uint64_t {
    const auto* origin = origin_of(lowered, all[index], session, all);
    return origin == nullptr ? 0 : origin->before;
  };
  EXPECT_EQ(before(2, 1), 1024U);  // a grandchild
  EXPECT_EQ(before(3, 1), 2048U);  // its parent has ended, its cgroup is the same
  EXPECT_EQ(before(4, 1), 0U);     // began before
  EXPECT_EQ(before(5, 1), 0U);     // "/" tells nothing
  EXPECT_EQ(before(5, 9), 1024U);  // its session does
  // A process that got the number of one on record is no ancestor.
  std::vector<Process> later = all;
  later[0].start_ticks = 501;
  EXPECT_EQ(origin_of(lowered, later[2], 1, later), nullptr);
}

/// A shell that forks a process which stays, tells its number, and goes on.
class Forker {
 public:
  Forker() : shell_("/bin/sh", {"sh", "-c", "while read -r line; do sleep 1000 & echo $!; done"}) {}
  ~Forker() {
    for (const pid_t pid : forked_) ::kill(pid, SIGKILL);
  }
  pid_t fork_one() {
    shell_.write_line("");
    forked_.push_back(static_cast<pid_t>(std::stol(shell_.read_line())));
    return forked_.back();
  }
  [[nodiscard]] ProcessId id() const { return {shell_.pid(), start_ticks(shell_.pid()).value_or(0)}; }

 private:
  test::Child shell_;
  std::vector<pid_t> forked_;
};

std::uint64_t soft_limit(pid_t pid) {
  rlimit limit{};
  EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
  return limit.rlim_cur;
}

class FdLimitUndo : public testing::Test {
 protected:
  /// Lowers the shell's limit, as the record that is returned says.
  FdLimitsLowered lower(std::uint64_t limit) {
    const auto now = fd_limits(shell_.id());
    EXPECT_TRUE(now);
    const FdLimitsLowered lowered{
        limit, {{shell_.id().pid, shell_.id().start_ticks, now->soft, now->hard, ::getsid(shell_.id().pid), "/"}}};
    EXPECT_TRUE(change_fd_limit(shell_.id(), *now, limit).value_or(false));
    return lowered;
  }
  Forker shell_;
};

TEST_F(FdLimitUndo, WhoWasForkedMeanwhileGetsTheLimitBackToo) {
  const pid_t earlier = shell_.fork_one();
  const std::uint64_t before = soft_limit(earlier);
  const FdLimitsLowered lowered = lower(17);
  const pid_t later = shell_.fork_one();
  EXPECT_EQ(soft_limit(later), 17U);
  EXPECT_EQ(look(lowered).outcome, UndoOutcome::kUndone);
  EXPECT_EQ(soft_limit(later), 17U);
  EXPECT_EQ(undo(lowered).outcome, UndoOutcome::kUndone);
  for (const pid_t pid : {shell_.id().pid, earlier, later}) EXPECT_EQ(soft_limit(pid), before);
  EXPECT_EQ(undo(lowered).outcome, UndoOutcome::kNotNeeded);
}

TEST_F(FdLimitUndo, WhatSomebodyElseHasSetStaysTheirs) {
  const FdLimitsLowered lowered = lower(17);
  const rlimit theirs{23, lowered.processes[0].hard};
  ASSERT_EQ(::prlimit(shell_.id().pid, RLIMIT_NOFILE, &theirs, nullptr), 0);
  const UndoResult result = undo(lowered);
  EXPECT_EQ(result.outcome, UndoOutcome::kTheirs);
  EXPECT_THAT(result.detail, HasSubstr("has 23, and we set 17"));
  EXPECT_EQ(soft_limit(shell_.id().pid), 23U);
}

TEST_F(FdLimitUndo, AProcessThatGotTheNumberIsNotTouched) {
  FdLimitsLowered lowered = lower(17);
  ++lowered.processes[0].start_ticks;
  lowered.processes[0].session = 0;
  EXPECT_EQ(undo(lowered).outcome, UndoOutcome::kGone);
  EXPECT_EQ(soft_limit(shell_.id().pid), 17U);
}

}  // namespace
}  // namespace chaos
