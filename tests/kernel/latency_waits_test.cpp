// syscall_latency where the kernel can do it: calls of a target wait as long as was asked for, as many of them as were
// asked for, and nobody else's do. Observer: the processes that call, by their own clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "latency_bed.h"
#include "support/observe.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr double kDelayMs = 20;

int longer_than(const std::vector<double>& times, double ms) {
  return static_cast<int>(std::ranges::count_if(times, [&](double time) { return time >= ms; }));
}

double median(std::vector<double> times) {
  std::ranges::sort(times);
  return times.empty() ? 0 : times[times.size() / 2];
}

TEST_F(SyscallLatency, AShareOfAServicesCallsWaitsAsLongAsWasAskedFor) {
  CHAOS_NEEDS_WAITS("openat");
  const int calls = by_size(300, 2000);
  constexpr double kShare = 0.3;
  for (const char* call : {"openat", "connect", "fsync", "pwrite64"}) {
    if (!refusal(call).empty()) continue;
    const std::vector<double> control = timed_.take("pause", calls / 4, 20'000);
    const int naturally_slow = longer_than(timed_.take(call, calls), kDelayMs);
    const std::string id = id_of(daemon_->run_scenario(
        latency({{"service", "web"}}, {{"syscalls", call}, {"delay", "20ms"}, {"probability", "30%"}})));
    const std::vector<double> times = timed_.take(call, calls);
    const std::vector<double> others = beside_.take(call, calls);
    const json ended = end(id);
    const Sums sums(ended);
    EXPECT_EQ(sums.matched, static_cast<std::uint64_t>(calls)) << call;
    EXPECT_NEAR(static_cast<double>(sums.injected), calls * kShare, 4 * std::sqrt(calls * kShare * (1 - kShare)));
    // Each that was made to wait took as long at least; on this machine some take as long by themselves.
    const int slow = longer_than(times, kDelayMs);
    const int injected = static_cast<int>(sums.injected);
    EXPECT_GE(slow, injected) << call;
    EXPECT_LE(slow, injected + naturally_slow + calls / 50) << call;
    EXPECT_LE(longer_than(others, kDelayMs), naturally_slow + calls / 50) << call;
    std::vector<double> waited;
    std::ranges::copy_if(times, std::back_inserter(waited), [](double time) { return time >= kDelayMs; });
    Timings seen;
    Timings slept;
    for (const double time : waited) seen.add(Timings::Milliseconds(time));
    for (const double time : control) slept.add(Timings::Milliseconds(time));
    seen.report(std::string(call) + " that waits 20 ms");
    slept.report(std::string(call) + " control: nanosleep of 20 ms");
    EXPECT_LE(median(waited), median(control) + 10) << call;
    EXPECT_LE(median(waited), kDelayMs + 10 + std::max(0.0, median(control) - kDelayMs)) << call;
    std::cout << call << ": " << ended.at("achieved").dump() << "\n";
    EXPECT_THAT(ended.at("achieved").value("delay_requested", ""), HasSubstr("p50 20"));
    EXPECT_THAT(ended.at("achieved").value("delay", ""), HasSubstr("p50 2"));
  }
  expect_no_residue();
}

TEST_F(SyscallLatency, EveryNthTheFirstAndTheBudgetAreExact) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string every = begin_waits({{"syscalls", "openat"}, {"delay", "20ms"}, {"every_nth", 5}});
  EXPECT_EQ(victim_->make("openat", 48, 8), (Outcomes{{0, 48}}));
  EXPECT_EQ(Sums(end(every)).injected, 9U);
  const std::string first = begin_waits({{"syscalls", "openat"}, {"delay", "20ms"}, {"first", 7}});
  EXPECT_EQ(victim_->make("openat", 48, 8), (Outcomes{{0, 48}}));
  EXPECT_EQ(Sums(end(first)).injected, 7U);
  const std::string budget = begin_waits({{"syscalls", "openat"}, {"delay", "20ms"}, {"max_events", 6}});
  EXPECT_EQ(victim_->make("openat", 48, 8), (Outcomes{{0, 48}}));
  EXPECT_EQ(end(budget).at("counters").at("spared_budget"), 42);
  json request = latency(of_cgroup(), {{"syscalls", "openat"}, {"delay", "5s"}});
  request["mode"] = "shadow";
  const std::string shadow = id_of(daemon_->run_scenario(request));
  EXPECT_EQ(victim_->make("openat", 10), (Outcomes{{0, 10}}));
  EXPECT_EQ(end(shadow).at("counters").at("shadowed"), 10);
}

TEST_F(SyscallLatency, OnlyFilesBelowADirectory) {
  CHAOS_NEEDS_WAITS("openat");
  const TempDir dir;
  for (const char* name : {"data", "other"}) {
    std::filesystem::create_directories(dir.path() / name);
    std::ofstream(dir.path() / name / "a") << "x";
  }
  const std::string id =
      begin_waits({{"syscalls", "openat"}, {"delay", "20ms"}, {"path", (dir.path() / "data").string()}});
  EXPECT_EQ(victim_->open_at((dir.path() / "data").string(), "a"), 0);
  EXPECT_EQ(victim_->open_at((dir.path() / "other").string(), "a"), 0);
  EXPECT_EQ(victim_->open_at((dir.path() / "other").string(), "../data/a"), 0);
  EXPECT_EQ(neighbour_.open_at((dir.path() / "data").string(), "a"), 0);
  EXPECT_EQ(Sums(end(id)).injected, 2U);
}

TEST_F(SyscallLatency, OnlyTheThreadThatCallsWaits) {
  CHAOS_NEEDS_WAITS("openat");
  // As many threads, and as long, that sleep by themselves.
  timed_.begin("pause", 8, 200'000);
  ASSERT_TRUE(eventually([&] { return timed_.rounds() >= 1000; }, milliseconds(60'000)));
  const double control = timed_.longest_pause_ms();
  timed_.stop();
  const std::string id = begin_waits({{"syscalls", "openat"}, {"delay", "200ms"}});
  timed_.begin("openat", 8);
  ASSERT_TRUE(eventually([&] { return timed_.rounds() >= 1000; }, milliseconds(60'000)));
  EXPECT_TRUE(eventually([&] { return waiting() == 8; }));
  report_figure("longest pause of a thread beside eight that wait", timed_.longest_pause_ms(), "ms");
  report_figure("the same beside eight that sleep", control, "ms");
  EXPECT_LE(timed_.longest_pause_ms(), std::max(100.0, 2 * control));
  (void)daemon_->stop_scenario(id);
}

TEST_F(SyscallLatency, NoMoreWaitThanMay) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = begin_waits({{"syscalls", "openat"}, {"delay", "5s"}, {"max_waiters", 8}});
  // Each calls once.
  timed_.begin("openat", TimedCalls::kMostThreads, 0, TimedCalls::kMostThreads);
  EXPECT_TRUE(eventually([&] { return waiting(500) == 8; }, milliseconds(20'000)));
  const json ended = end(id);
  timed_.stop();
  EXPECT_EQ(Sums(ended).injected, 8U);
  EXPECT_EQ(Sums(ended).over_limit, static_cast<std::uint64_t>(TimedCalls::kMostThreads - 8));
}

}  // namespace
}  // namespace chaos::test
