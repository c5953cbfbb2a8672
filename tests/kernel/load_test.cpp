// What resource_exhaustion takes by workers, measured by others: CPU time by /proc/stat and cpu.stat, memory by
// /proc/meminfo and the cgroup's own files, room and writes by statvfs(3) and the device's statistics.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <memory>
#include <ranges>
#include <thread>
#include <vector>

#include "load_bed.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/loads.h"
#include "support/loop_file_system.h"
#include "support/observe.h"
#include "support/redis.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr double kMebi = 1024 * 1024;

/// Observed over a span of time.
template <class Read>
double share_over(seconds span, const Read& read) {
  const auto began = steady_clock::now();
  const auto before = read();
  std::this_thread::sleep_for(span);  // a span to divide by
  const auto after = read();
  return std::chrono::duration<double>(after - before) / (steady_clock::now() - began);
}

TEST_F(Loads, ACgroupUsesItsShareOfTheCpusWhoeverWorksInIt) {
  const LimitedCgroup cgroup("cpu");
  const LimitedCgroup other("cpu");
  // Works for a tenth of the time, or so, and forks nobody: what it uses counts.
  Child member("/bin/bash", {"bash", "-c",
                             "read -r go; while :; do end=$((${EPOCHREALTIME/./} + 10000)); "
                             "while ((${EPOCHREALTIME/./} < end)); do :; done; read -r -t 0.09; done"});
  const Child idle("/bin/sleep", {"sleep", "1000"});
  cgroup.add(member.pid());
  other.add(idle.pid());
  member.write_line("go");
  // What a busy machine can give.
  for (const double level : {0.2, 0.35}) {
    const std::string percent = std::to_string(std::lround(100 * level)) + "%";
    const std::string id =
        start(request(inside(cgroup), {{"resource", "cpu"}, {"mode", "load"}, {"level", percent}, {"cpus", "0"}}));
    std::this_thread::sleep_for(seconds(2));  // the first looks at what others use
    const double share = share_over(by_size(seconds(6), seconds(20)), [&] { return cgroup_cpu(cgroup.cgroup()); });
    report_figure("CPU of the cgroup at a level of " + percent, 100 * share, "%");
    EXPECT_NEAR(share, level, 0.03);
    const json figures = achieved(id);
    EXPECT_NEAR(std::stod(figures.value("level", "0")) / 100, level, 0.04) << figures;
    EXPECT_GT(std::stod(figures.value("own", "0")), 1) << figures;
    stop(id);
  }
  EXPECT_LT(cgroup_cpu(other.cgroup()), std::chrono::milliseconds(100));
}

TEST_F(Loads, InShadowModeNobodyWorks) {
  const LimitedCgroup cgroup("cpu");
  const Child member("/bin/sleep", {"sleep", "1000"});
  cgroup.add(member.pid());
  json body = request(inside(cgroup), {{"resource", "cpu"}, {"mode", "load"}, {"level", "50%"}});
  body["mode"] = "shadow";
  const json started = daemon_->run_scenario(body);
  EXPECT_THAT(load_workers(daemon_->instance()), testing::IsEmpty());
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_EQ(ended.at("counters").at("shadowed"), 1);
  EXPECT_EQ(ended.at("counters").at("injected"), 0);
  expect_nothing_left();
}

struct CpuSecond {
  double used = 0;  ///< of the host's CPU time
  double own = 0;   ///< of it, by one process
};
CpuSecond cpu_second(pid_t process) {
  const HostCpu before = host_cpu();
  const auto own_before = cpu_time(process);
  const auto began = steady_clock::now();
  std::this_thread::sleep_for(seconds(1));  // a span to divide by
  const HostCpu after = host_cpu();
  const auto cpus = static_cast<double>(std::thread::hardware_concurrency());
  return {.used = (after.used - before.used) / (after.all - before.all),
          .own = std::chrono::duration<double>(cpu_time(process) - own_before) / (steady_clock::now() - began) / cpus};
}

TEST_F(Loads, TheHostsCpusAreInUseForTheLevelAtLeast) {
  const std::string id = start(request(host(), {{"resource", "cpu"}, {"mode", "load"}, {"level", "60%"}}));
  const pid_t worker = *load_workers(daemon_->instance()).begin();
  // Others' work on this machine counts as well, comes and goes, and may be more than the level: then nothing is added.
  // So the seconds count in which others used what they used in the two before (the load looks back as far). On a
  // machine that is never left alone for so long the level is a least one still, and the load adds no more than that.
  constexpr double kSteady = 0.03;
  constexpr double kMostOfOthers = 0.5;
  const auto wanted = by_size(4, 15);
  std::vector<double> others;
  CpuSecond all;
  double used = 0;
  double own = 0;
  int counted = 0;
  for (int second = 0; second < 60 && counted < wanted; ++second) {
    const CpuSecond now = cpu_second(worker);
    const double theirs = now.used - now.own;
    others.push_back(theirs);
    all.used += now.used;
    all.own += now.own;
    if (others.size() < 4 || theirs > kMostOfOthers) continue;
    const auto [least, most] = std::ranges::minmax(others | std::views::drop(others.size() - 3));
    if (most - least > kSteady) continue;
    used += now.used;
    own += now.own;
    ++counted;
  }
  const auto seconds_seen = static_cast<double>(others.size());
  report_figure("CPU of the host at a level of 60%, whatever others did", 100 * all.used / seconds_seen, "%");
  const double off = 0.03 * time_scale();  // an emulated CPU's time comes in pieces
  EXPECT_GE(all.used / seconds_seen, 0.6 - off);
  EXPECT_LE(all.own / seconds_seen, 0.6 + off);
  if (counted == wanted) {
    report_figure("CPU of the host at a level of 60%", 100 * used / counted, "%");
    report_figure("of it by the load", 100 * own / counted, "%");
    EXPECT_NEAR(used / counted, 0.6, off);
    EXPECT_GT(own / counted, 0.05);
  }
  stop(id);
}

TEST_F(Loads, MemoryOfACgroupIsInUseToItsLevelAndIsGivenBackToOthers) {
  const LimitedCgroup cgroup("memory");
  constexpr double kLimit = 512 * kMebi;
  limit_memory(cgroup, static_cast<std::uint64_t>(kLimit));
  const MemoryUser member(cgroup);
  member.hold(static_cast<std::size_t>(64 * kMebi));
  const std::string id =
      start(request(inside(cgroup), {{"resource", "memory"}, {"mode", "pressure"}, {"level", "80%"}}));
  const pid_t worker = *load_workers(daemon_->instance()).begin();
  const auto share = [&] { return memory_used(cgroup) / kLimit; };
  const auto held = [&] { return 1024 * static_cast<double>(status_kb(worker, "VmRSS")); };
  EXPECT_TRUE(eventually([&] { return std::abs(share() - 0.8) < 0.01; })) << share();
  report_figure("memory of the cgroup at a level of 80%", 100 * share(), "%");
  // Really there.
  EXPECT_NEAR(held(), 0.8 * kLimit - 64 * kMebi, 0.05 * kLimit);
  EXPECT_EQ(status_kb(worker, "VmSwap"), 0U);
  EXPECT_EQ(std::ifstream("/proc/" + std::to_string(worker) + "/oom_score_adj").get(), '1');
  // The member wants more: it gets it, and the level stays. Not all at once: whoever takes what is left faster than the
  // worker gets a turn has the kernel kill the worker, which is what it is for.
  for (const double wanted : {128.0, 192.0, 256.0}) {
    member.hold(static_cast<std::size_t>(wanted * kMebi));
    EXPECT_TRUE(eventually([&] { return std::abs(share() - 0.8) < 0.01; })) << share();
  }
  // More than the level by itself: nothing is held any more, and nobody was killed.
  for (const double wanted : {320.0, 384.0}) {
    member.hold(static_cast<std::size_t>(wanted * kMebi));
    EXPECT_TRUE(eventually([&] { return std::abs(share() - 0.8) < 0.01; })) << share();
  }
  member.hold(static_cast<std::size_t>(470 * kMebi));
  EXPECT_TRUE(eventually([&] { return held() < 24 * kMebi; }));
  member.hold(static_cast<std::size_t>(16 * kMebi));
  EXPECT_TRUE(eventually([&] { return std::abs(share() - 0.8) < 0.02; })) << share();
  EXPECT_EQ(*load_workers(daemon_->instance()).begin(), worker);
  EXPECT_TRUE(eventually([&] { return std::abs(std::stod(achieved(id).value("level", "0")) - 80) < 2; }));
  stop(id);
  EXPECT_LT(share(), 0.1);
}

TEST_F(Loads, RedisLivesBesideMemoryAtNinetyPercent) {
  const LimitedCgroup cgroup("memory");
  constexpr double kLimit = 512 * kMebi;
  limit_memory(cgroup, static_cast<std::uint64_t>(kLimit));
  const Redis redis;
  cgroup.add(redis.pid());
  redis.fill(20'000);
  const std::string id =
      start(request(inside(cgroup), {{"resource", "memory"}, {"mode", "pressure"}, {"level", "90%"}}));
  const auto share = [&] { return memory_used(cgroup) / kLimit; };
  EXPECT_TRUE(eventually([&] { return std::abs(share() - 0.9) < 0.02; })) << share();
  double most = 0;
  int works = 0;
  const auto began = steady_clock::now();
  while (steady_clock::now() - began < by_size(seconds(5), seconds(60))) {
    most = std::max(most, share());
    ASSERT_TRUE(redis.works());
    // Its data grows from time to time, by some 10 MiB at a time, as far as there is room beside the floor.
    if (++works % 50 == 0) redis.fill(std::min(20'000 + works * 100, 60'000));
  }
  report_figure("memory of the cgroup at a level of 90%, at the end", 100 * share(), "%");
  report_figure("at most", 100 * most, "%");
  report_figure("redis answered", works, "times");
  EXPECT_NEAR(share(), 0.9, 0.02);
  EXPECT_TRUE(redis.running());
  EXPECT_THAT(load_workers(daemon_->instance()), testing::SizeIs(1));
  stop(id);
  EXPECT_TRUE(redis.works());
}

TEST_F(Loads, TheFloorHolds) {
  const LimitedCgroup cgroup("memory");
  constexpr double kLimit = 256 * kMebi;
  limit_memory(cgroup, static_cast<std::uint64_t>(kLimit));
  const MemoryUser member(cgroup);
  member.hold(0);
  const std::string id = start(
      request(inside(cgroup),
              {{"resource", "memory"}, {"mode", "pressure"}, {"level", "70%"}, {"floor", "30%"}, {"rate", "200MBps"}}));
  double most = 0;
  const auto share = [&] {
    const double now = memory_used(cgroup) / kLimit;
    most = std::max(most, now);
    return now;
  };
  const auto began = steady_clock::now();
  EXPECT_TRUE(eventually([&] { return share() > 0.68; }));
  // 179 MiB at 200 MB/s.
  EXPECT_GT(steady_clock::now() - began, std::chrono::milliseconds(700));
  EXPECT_FALSE(eventually([&] { return share() > 0.72; }, seconds(1)));
  report_figure("most of the cgroup's memory in use beside a floor of 30%", 100 * most, "%");
  stop(id);
}

TEST_F(Loads, MemoryOfTheHostIsInUseToItsLevel) {
  const double whole = meminfo("MemTotal");
  const double used_before = 1 - meminfo("MemAvailable") / whole;
  // Half a gibibyte or so.
  const double level = std::round(1000 * (used_before + 512 * kMebi / whole)) / 1000;
  char percent[16];
  std::snprintf(percent, sizeof percent, "%.1f%%", 100 * level);
  const std::string id = start(request(host(), {{"resource", "memory"}, {"mode", "pressure"}, {"level", percent}}));
  const pid_t worker = *load_workers(daemon_->instance()).begin();
  double share = 0;
  // Others' memory comes and goes: the worker's own size follows it.
  EXPECT_TRUE(eventually([&] {
    share = 1 - meminfo("MemAvailable") / whole;
    return std::abs(share - level) < 0.005 && static_cast<double>(status_kb(worker, "VmRSS")) > 64 * 1024;
  })) << share
      << " of " << level;
  report_figure(std::string("memory of the host at a level of ") + percent, 100 * share, "%");
  stop(id);
}

TEST_F(Loads, AFullFileSystemGivesENOSPCAndItsRoomBack) {
  const LoopFileSystem disk(128);
  const std::uint64_t left_before = disk.left();
  const auto write_errno = [&] {
    const UniqueFd file(::open((disk.root() / "writer").c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
    const std::string data(1 << 20, 'x');
    // Not as root, who has a reserve.
    EXPECT_EQ(::setresuid(-1, 65533, -1), 0);
    const ssize_t size = ::write(file.get(), data.data(), data.size());
    const int err = size == static_cast<ssize_t>(data.size()) ? 0 : size >= 0 ? ENOSPC : errno;
    EXPECT_EQ(::setresuid(-1, 0, -1), 0);
    ::unlink((disk.root() / "writer").c_str());
    return err;
  };
  EXPECT_EQ(write_errno(), 0);
  for (const double level : {0.5, 0.9, 1.0}) {
    const std::string percent = std::to_string(std::lround(100 * level)) + "%";
    const std::string id = start(
        request(host(), {{"resource", "disk"}, {"mode", "fill"}, {"level", percent}, {"path", disk.root().string()}}));
    EXPECT_TRUE(eventually([&] { return std::abs(disk.used_share() - level) < 0.01; })) << disk.used_share();
    report_figure("of the file system in use at a level of " + percent, 100 * disk.used_share(), "%");
    EXPECT_EQ(write_errno(), level < 1 ? 0 : ENOSPC);
    EXPECT_TRUE(eventually([&] { return std::abs(std::stod(achieved(id).value("level", "0")) - 100 * level) < 1; }));
    stop(id);
    EXPECT_TRUE(eventually([&] { return disk.left() == left_before; })) << disk.left() << " of " << left_before;
    EXPECT_EQ(write_errno(), 0);
  }
  const std::string id = start(
      request(host(), {{"resource", "disk"}, {"mode", "fill"}, {"leave", "10MiB"}, {"path", disk.root().string()}}));
  EXPECT_TRUE(eventually([&] { return std::abs(static_cast<double>(disk.left()) - 10 * kMebi) < kMebi; }));
  EXPECT_TRUE(std::filesystem::is_empty(disk.root() / "lost+found"));
  stop(id);
}

TEST_F(Loads, WritesComeToTheDeviceAtTheirRate) {
  const LoopFileSystem disk(512);
  const std::string id = start(
      request(host(), {{"resource", "disk"}, {"mode", "io_load"}, {"rate", "8MBps"}, {"path", disk.root().string()}}));
  std::this_thread::sleep_for(seconds(1));  // the file's blocks are on the disk
  const auto began = steady_clock::now();
  const std::uint64_t before = disk.device_written();
  std::this_thread::sleep_for(by_size(seconds(5), seconds(20)));  // a span to divide by
  const double rate = static_cast<double>(disk.device_written() - before) /
                      std::chrono::duration<double>(steady_clock::now() - began).count();
  report_figure("written to the device at a rate of 8 MB/s", rate / 1e6, "MB/s");
  EXPECT_NEAR(rate, 8e6, 0.03 * 8e6 * time_scale());
  const json figures = achieved(id);
  EXPECT_THAT(figures.value("rate", ""), HasSubstr("MiB/s"));
  EXPECT_THAT(figures.value("device_written", ""), HasSubstr("MiB/s"));
  stop(id);
}

TEST_F(Loads, AWorkerThatSomebodyKillsEndsTheScenarioWithTheReason) {
  const std::string id = start(request(host(), {{"resource", "cpu"}, {"mode", "load"}, {"level", "5%"}}));
  ASSERT_EQ(::kill(*load_workers(daemon_->instance()).begin(), SIGKILL), 0);
  const json record = wait_for_end(*daemon_, id);
  EXPECT_EQ(record.value("end_reason", ""), "error");
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_THAT(record.value("error", ""), HasSubstr("signal 9"));
  expect_nothing_left();
}

TEST_F(Loads, AnotherScenarioOnTheSameCgroupIsNotAboutTheWorker) {
  const LimitedCgroup cgroup("cpu");
  const Child member("/bin/sleep", {"sleep", "1000"});
  cgroup.add(member.pid());
  const std::string load =
      start(request(inside(cgroup), {{"resource", "cpu"}, {"mode", "load"}, {"level", "5%"}, {"cpus", "0"}}));
  const json crash = daemon_->run_scenario({{"kind", "component_failure"},
                                            {"target", inside(cgroup)},
                                            {"parameters", {{"failure_type", "slow_response"}, {"frozen", "10%"}}},
                                            {"duration", "1m"}});
  EXPECT_EQ(crash.at("plan").at("processes").size(), 2U) << crash.dump(1);
  EXPECT_EQ(daemon_->stop_scenario(id_of(crash)).at("state"), "completed");
  EXPECT_TRUE(exists(member.pid()));
  stop(load);
}

}  // namespace
}  // namespace chaos::test
