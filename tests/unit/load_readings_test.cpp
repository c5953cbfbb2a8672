// What a load worker reads of CPUs and memory, out of fixtures of the kernel's files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "fault/cpu_load.h"
#include "load/cpu_use.h"
#include "load/memory_pool.h"
#include "support/temp_dir.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;
using test::TempDir;
using ::testing::ElementsAre;

constexpr const char* kStat =
    "cpu  100 0 0 900 0 0 0 0 0 0\n"
    "cpu0 10 1 2 300 50 3 4 5 6 7\n"
    "cpu1 20 0 0 80 0 0 0 0 0 0\n"
    "cpu11 1 0 0 0 0 0 0 0 0 0\n"
    "intr 1\n";

TEST(CpuTimes, IdleAndWaitingAreNotUseAndGuestsAreNotCountedTwice) {
  // USER_HZ is 100 on every Linux that there is.
  const auto first = cpu_time_in(kStat, 0);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->used, milliseconds(250));
  EXPECT_EQ(first->passed, milliseconds(3750));
  const auto second = cpu_time_in(kStat, 1);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->used, milliseconds(200));
  EXPECT_EQ(second->passed, milliseconds(1000));
  EXPECT_EQ(cpu_time_in(kStat, 11)->used, milliseconds(10));
  EXPECT_FALSE(cpu_time_in(kStat, 2));
  EXPECT_FALSE(cpu_time_in("cpu0 1 2 x\n", 0));
}

TEST(CpuTimes, OfACgroupInBothVersions) {
  const TempDir dir;
  const auto v2 = CpuUse::of_cgroup(dir.write("v2/cpu.stat", "usage_usec 2500\nuser_usec 1\n")).read();
  ASSERT_TRUE(v2) << v2.error().message;
  EXPECT_EQ(v2->front().used, std::chrono::microseconds(2500));
  const auto v1 = CpuUse::of_cgroup(dir.write("v1/cpuacct.usage", "7000\n")).read();
  ASSERT_TRUE(v1) << v1.error().message;
  EXPECT_EQ(v1->front().used, std::chrono::nanoseconds(7000));
  EXPECT_FALSE(CpuUse::of_cgroup(dir.path() / "gone").read());
}

TEST(CpuLimits, TheLeastOfACgroupsOwnAndThoseAboveItCounts) {
  const TempDir dir;
  for (const char* cgroup : {"a", "a/b", "a/b/c"}) dir.write(std::filesystem::path(cgroup) / "cgroup.procs", "");
  const auto inner = dir.path() / "a/b/c";
  EXPECT_DOUBLE_EQ(allowed_cpus(true, inner, 4), 4);
  dir.write("a/cpu.max", "50000 100000\n");
  dir.write("a/b/cpu.max", "max 100000\n");
  dir.write("a/b/c/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(allowed_cpus(true, inner, 4), 0.5);
  EXPECT_DOUBLE_EQ(allowed_cpus(true, inner, 4), allowed_cpus(true, dir.path() / "a", 4));
  dir.write("a/b/cpu.cfs_quota_us", "30000\n");
  dir.write("a/b/cpu.cfs_period_us", "100000\n");
  dir.write("a/b/c/cpu.cfs_quota_us", "-1\n");
  dir.write("a/b/c/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(allowed_cpus(false, inner, 4), 0.3);
}

TEST(CpuLists, AreNumbersAndRangesOfThoseOnline) {
  EXPECT_THAT(*parse_cpus("0", "0-3"), ElementsAre(0U));
  EXPECT_THAT(*parse_cpus("2,0-1,1", "0-3"), ElementsAre(0U, 1U, 2U));
  EXPECT_THAT(*parse_cpus("5", "0-3,5"), ElementsAre(5U));
  for (const char* bad : {"", "4", "x", "1-", "-1", "3-1", "0,,1", "0-99999999", "0 1", ","}) {
    const auto refused = parse_cpus(bad, "0-3,5");
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, Errc::kInvalid);
    EXPECT_EQ(refused.error().field, "parameters.cpus");
    EXPECT_NE(refused.error().rule, "");
  }
}

TEST(MemoryPools, OfTheHost) {
  const TempDir dir;
  dir.write("meminfo", "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    250 kB\n");
  const auto state = MemoryPool(MemoryPool::Of::kHost, dir.path()).read();
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_DOUBLE_EQ(state->whole, 1000 * 1024);
  EXPECT_DOUBLE_EQ(state->used_share(), 0.75);
  dir.write("meminfo", "MemTotal: 1000 kB\n");
  EXPECT_FALSE(MemoryPool(MemoryPool::Of::kHost, dir.path()).read());
}

TEST(MemoryPools, OfACgroupTheLeastLimitAndNotWhatCanBeGivenUp) {
  const TempDir dir;
  dir.write("memory.max", "1000000\n");
  dir.write("memory.high", "max\n");
  dir.write("memory.current", "700000\n");
  dir.write("memory.stat", "anon 1\nfile 2\ninactive_file 100000\nactive_file 50000\nslab_reclaimable 50000\n");
  const MemoryPool pool(MemoryPool::Of::kCgroupV2, dir.path());
  EXPECT_DOUBLE_EQ(pool.read()->available, 500000);
  dir.write("memory.high", "800000\n");
  EXPECT_DOUBLE_EQ(pool.read()->whole, 800000);
  EXPECT_DOUBLE_EQ(pool.read()->available, 300000);
  dir.write("memory.max", "max\n");
  dir.write("memory.high", "max\n");
  EXPECT_EQ(pool.read().error().code, Errc::kUnsupported);
}

TEST(MemoryPools, OfAV1Cgroup) {
  const TempDir dir;
  dir.write("memory.usage_in_bytes", "700000\n");
  dir.write(
      "memory.stat",
      "inactive_file 1\nhierarchical_memory_limit 1000000\ntotal_inactive_file 100000\ntotal_active_file 100000\n");
  const MemoryPool pool(MemoryPool::Of::kCgroupV1, dir.path());
  EXPECT_DOUBLE_EQ(pool.read()->available, 500000);
  dir.write("memory.stat", "hierarchical_memory_limit 9223372036854771712\n");
  EXPECT_EQ(pool.read().error().code, Errc::kUnsupported);
}

TEST(MemoryPools, HaveNamesThatCanBeReadAgain) {
  for (const char* name : {"host:/proc", "v2:/sys/fs/cgroup/a:b", "v1:/x"}) {
    const auto pool = MemoryPool::parse(name);
    ASSERT_TRUE(pool);
    EXPECT_EQ(pool->name(), name);
  }
  EXPECT_FALSE(MemoryPool::parse("/x"));
  EXPECT_FALSE(MemoryPool::parse("v3:/x"));
}

TEST(MemoryPools, ThoseAroundOneCountAsWell) {
  const TempDir dir;
  for (const char* cgroup : {"a", "a/b", "a/b/c"}) {
    const std::filesystem::path place(cgroup);
    dir.write(place / "memory.max", place == "a/b" ? "max\n" : "1000\n");
    dir.write(place / "memory.high", "max\n");
    dir.write(place / "memory.current", "1\n");
    dir.write(place / "memory.stat", "");
  }
  std::vector<std::string> names;
  for (const MemoryPool& pool : MemoryPool::around(MemoryPool(MemoryPool::Of::kCgroupV2, dir.path() / "a/b/c"))) {
    names.push_back(pool.name());
  }
  EXPECT_THAT(names,
              ElementsAre("v2:" + (dir.path() / "a/b/c").string(), "v2:" + (dir.path() / "a").string(), "host:/proc"));
}

TEST(MemoryPools, WhatSiblingsUseUnderAV1ParentsLimitCounts) {
  const TempDir dir;
  dir.write("a/memory.usage_in_bytes", "900\n");
  dir.write("a/b/memory.usage_in_bytes", "100\n");
  for (const char* cgroup : {"a", "a/b"}) {
    dir.write(std::filesystem::path(cgroup) / "memory.stat", "hierarchical_memory_limit 1000\n");
  }
  const auto pools = MemoryPool::around(MemoryPool(MemoryPool::Of::kCgroupV1, dir.path() / "a/b"));
  ASSERT_EQ(pools.size(), 3U);
  EXPECT_DOUBLE_EQ(pools[0].read()->available, 900);
  EXPECT_DOUBLE_EQ(pools[1].read()->available, 100);
  EXPECT_EQ(pools[2].name(), "host:/proc");
}

}  // namespace
}  // namespace chaos
