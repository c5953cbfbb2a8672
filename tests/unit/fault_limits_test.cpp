// What limits become at a level, and which cgroups are meant: v2, v1, shared with others, none.
#include "fault/cgroup_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/controlled_cgroups.h"
#include "tests/support/proc_fixture.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Probability percent(std::uint64_t value) { return Probability::from_ppb(value * 10'000'000); }

TEST(CpuThrottle, CutsWhatMayBeUsedNow) {
  // Nothing limits it: all CPUs.
  EXPECT_EQ(throttled_cpu_max("max 100000", percent(50), 2).value_or(""), "100000 100000");
  EXPECT_EQ(throttled_cpu_max("max 100000", percent(90), 4).value_or(""), "40000 100000");
  // A limit that is there already is cut further; one above all CPUs limits nothing.
  EXPECT_EQ(throttled_cpu_max("50000 100000", percent(50), 4).value_or(""), "25000 100000");
  EXPECT_EQ(throttled_cpu_max("900000 100000", percent(50), 2).value_or(""), "100000 100000");
  // What the kernel does not take less than.
  EXPECT_EQ(throttled_cpu_max("max 100000", percent(100), 2).value_or(""), "1000 100000");
  EXPECT_EQ(throttled_cfs_quota("-1", "50000", percent(70), 2).value_or(""), "30000");
  EXPECT_EQ(throttled_cfs_quota("20000", "50000", percent(50), 2).value_or(""), "10000");
  for (const char* wrong : {"", "max", "x 100000", "max y"}) EXPECT_FALSE(throttled_cpu_max(wrong, percent(50), 2));
}

TEST(TaskLimit, LeavesAShareOfThoseThatAreThere) {
  EXPECT_EQ(lowered_pids_max("10", "max", percent(50)).value_or(""), "5");
  EXPECT_EQ(lowered_pids_max("10", "12", percent(10)).value_or(""), "9");
  EXPECT_EQ(lowered_pids_max("10", "max", percent(100)).value_or(""), "0");
  const auto tighter = lowered_pids_max("10", "5", percent(50));
  ASSERT_FALSE(tighter);
  EXPECT_EQ(tighter.error().code, Errc::kRefused);
  EXPECT_FALSE(lowered_pids_max("x", "max", percent(50)));
}

/// A v1 hierarchy of the pids controller and a v2 tree, of files.
class ControlledCgroupsTest : public testing::Test {
 protected:
  ControlledCgroupsTest() {
    sources_.proc = proc_.root();
    sources_.mounts =
        files_.write("mounts", "tmpfs " + root() + " tmpfs rw 0 0\ncgroup " + root() +
                                   "/v1 cgroup rw,relatime,pids 0 0\ncgroup2 " + root() + "/v2 cgroup2 rw 0 0\n");
    process(100, "/own");
    process(101, "/own/below", 100);
    files_.write("v1/own/cgroup.procs", "100\n");
    files_.write("v1/own/below/cgroup.procs", "101\n");
    files_.write("v2/unit/cgroup.procs", "");
  }
  [[nodiscard]] std::string root() const { return files_.path().string(); }
  void process(pid_t pid, const std::string& path, pid_t parent = 1) const {
    proc_.add_process(pid, "x", parent);
    proc_.write(pid, "cgroup", "8:pids:" + path + "\n3:cpuset:/elsewhere\n0::/unit\n");
  }
  [[nodiscard]] Result<ControlledCgroups> find(const std::vector<ProcessId>& members,
                                               const std::vector<Cgroup>& cgroups = {}) const {
    return controlled_cgroups({"pids", "pids.max"}, cgroups, members, sources_);
  }
  [[nodiscard]] Cgroup unit() const {
    const auto tree = CgroupTree::find(sources_.mounts);
    return tree->get("/unit").value_or(Cgroup{});
  }

  test::TempDir files_;
  test::ProcFixture proc_;
  ControllerSources sources_;
};

TEST_F(ControlledCgroupsTest, V2WhereTheControllerIsEnabled) {
  files_.write("v2/unit/pids.max", "max\n");
  const auto found = find({{100, 1}}, {unit()});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->v2);
  EXPECT_THAT(found->directories, ElementsAre(files_.path() / "v2/unit"));
}

TEST_F(ControlledCgroupsTest, V1WithWhatIsBelow) {
  const auto found = find({{100, 1}, {101, 1}}, {unit()});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(found->v2);
  EXPECT_THAT(found->directories, ElementsAre(files_.path() / "v1/own"));
}

TEST_F(ControlledCgroupsTest, OneThatIsSharedIsRefused) {
  process(200, "/own");
  files_.write("v1/own/cgroup.procs", "100\n200\n");
  const auto found = find({{100, 1}, {101, 1}});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kRefused);
  EXPECT_THAT(found.error().message, HasSubstr("process 200"));
  // Below it counts as well.
  files_.write("v1/own/cgroup.procs", "100\n");
  files_.write("v1/own/below/cgroup.procs", "101\n200\n");
  EXPECT_FALSE(find({{100, 1}, {101, 1}}));
}

TEST_F(ControlledCgroupsTest, WhatAMemberHasJustForkedIsNoStranger) {
  process(102, "/own", 101);
  files_.write("v1/own/cgroup.procs", "100\n102\n");
  EXPECT_TRUE(find({{100, 1}, {101, 1}}));
}

TEST_F(ControlledCgroupsTest, WhoIsAboutToEndCountsForNothing) {
  // In v1 it reads "/" by then. Flags: PF_EXITING.
  process(103, "/", 100);
  proc_.write(103, "stat", "103 (x) R 100 1 1 0 -1 4 4\n");
  const auto found = find({{100, 1}, {101, 1}, {103, 1}});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(found->directories, ElementsAre(files_.path() / "v1/own"));
}

TEST_F(ControlledCgroupsTest, TheRootIsNobodysOwn) {
  process(300, "/");
  const auto found = find({{300, 1}});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::kUnsupported);
}

TEST_F(ControlledCgroupsTest, WithoutAnyHierarchyTheReasonIsSaid) {
  sources_.mounts = files_.write("mounts", "cgroup2 " + root() + "/v2 cgroup2 rw 0 0\n");
  const auto disabled = find({{100, 1}}, {unit()});
  ASSERT_FALSE(disabled);
  EXPECT_EQ(disabled.error().code, Errc::kUnsupported);
  EXPECT_THAT(disabled.error().message, HasSubstr("not enabled"));
  const auto single = find({{100, 1}});
  ASSERT_FALSE(single);
  EXPECT_THAT(single.error().message, HasSubstr("single processes"));
}

}  // namespace
}  // namespace chaos
