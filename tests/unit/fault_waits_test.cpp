// What the parameters of syscall_latency mean, which mechanism gets which call on kernels of every kind, and how long
// which call waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "bpf/wait_abi.h"
#include "fault/syscall_latency.h"
#include "kernel/syscall_table.h"
#include "kernel/wait_programs.h"
#include "line/histogram.h"
#include "wait/wait_order.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using testing::HasSubstr;
using enum SyscallMechanism;

/// `sleepable`: of the hooks that have programs.
WaitLadder ladder_of(bool hooks, bool entries, std::set<chaos_syscall_hook> sleepable) {
  return {{MechanismState{kWaitSecurity, hooks, true, hooks ? "" : "lacks CONFIG_H", "h"},
           MechanismState{kWaitEntry, entries, false, entries ? "" : "lacks CONFIG_E", "e"}},
          std::move(sleepable),
          [](std::string_view) { return true; }};
}

WaitLadder all_hooks(bool entries) {
  const auto hooks = waiting_hooks();
  return ladder_of(true, entries, {hooks.begin(), hooks.end()});
}

Parameters given(Parameters more) {
  Parameters all{{"syscalls", "connect"},     {"delay", "20ms"},       {"jitter", "0s"},
                 {"distribution", "uniform"}, {"probability", "100%"}, {"max_waiters", "64"}};
  for (auto& [name, value] : more) all[name] = value;
  return all;
}

std::string calls_by(const SyscallRequest& request, SyscallMechanism mechanism) {
  std::string text;
  for (const MeantSyscall& one : request.calls) {
    if (one.mechanism == mechanism) text += (text.empty() ? "" : " ") + std::string(one.call->name);
  }
  return text;
}

TEST(WaitLadderTest, HooksBeforeEntries) {
  const auto request = latency_request(given({{"syscalls", "openat,connect,fsync,pwrite64"}}), all_hooks(true));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(calls_by(*request, kWaitSecurity), "openat connect");
  EXPECT_EQ(calls_by(*request, kWaitEntry), "fsync pwrite64");
}

TEST(WaitLadderTest, WhatIsMissingIsNamed) {
  const auto refused = latency_request(given({{"syscalls", "fsync"}}), all_hooks(false));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_EQ(refused.error().field, "parameters.syscalls");
  EXPECT_THAT(refused.error().message, HasSubstr("CONFIG_E"));
  EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("CONFIG_H")));
  const auto both = latency_request(given({}), ladder_of(false, false, {}));
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().message, testing::AllOf(HasSubstr("CONFIG_H"), HasSubstr("CONFIG_E")));
}

TEST(WaitLadderTest, NobodyWaitsWithADirectoryLocked) {
  for (const char* call : {"rename", "unlink", "mkdir", "rmdir", "symlink", "link", "read", "write", "mprotect"}) {
    EXPECT_FALSE(latency_request(given({{"syscalls", call}}), all_hooks(false))) << call;
    const auto at_entry = latency_request(given({{"syscalls", call}}), all_hooks(true));
    ASSERT_TRUE(at_entry) << call;
    EXPECT_EQ(calls_by(*at_entry, kWaitEntry), call);
  }
}

TEST(WaitLadderTest, OfACallsHooksAllMustBeAbleToSleep) {
  const WaitLadder opens = ladder_of(true, false, {CHAOS_HOOK_FILE_OPEN, CHAOS_HOOK_PATH_TRUNCATE});
  EXPECT_TRUE(latency_request(given({{"syscalls", "openat"}}), opens));
  EXPECT_FALSE(latency_request(given({{"syscalls", "connect"}}), opens));
  // It passes one of two.
  EXPECT_FALSE(latency_request(given({{"syscalls", "ftruncate"}}), opens));
}

TEST(WaitLadderTest, PathsAreKnownToHooksAlone) {
  const auto by_path = latency_request(given({{"syscalls", "openat"}, {"path", "/srv"}}), all_hooks(true));
  ASSERT_TRUE(by_path);
  EXPECT_EQ(calls_by(*by_path, kWaitSecurity), "openat");
  EXPECT_FALSE(latency_request(given({{"syscalls", "fsync"}, {"path", "/srv"}}), all_hooks(true)));
}

TEST(WaitLadderTest, WhatRingsDoDoesNotWait) {
  EXPECT_FALSE(latency_request(given({{"syscalls", "io_uring_read"}}), all_hooks(true)));
}

TEST(WaitOrderTest, TheParametersAreTheShape) {
  const auto request =
      latency_request(given({{"jitter", "5ms"}, {"distribution", "normal"}, {"max_waiters", "7"}}), all_hooks(true));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->wait->shape.delay, 20ms);
  EXPECT_EQ(request->wait->shape.jitter, 5ms);
  EXPECT_EQ(request->wait->shape.distribution, Distribution::kNormal);
  EXPECT_EQ(request->wait->limit, 7U);
  const auto jitter = latency_request(given({{"jitter", "21ms"}}), all_hooks(true));
  ASSERT_FALSE(jitter);
  EXPECT_EQ(jitter.error().field, "parameters.jitter");
}

TEST(WaitOrderTest, ItIsTheSameBehindACommandLine) {
  const WaitOrder order{
      .shape = {.delay = 20ms, .jitter = 3ms, .distribution = Distribution::kEmpirical, .table = {1ms, 2ms, 80ms}},
      .seed = 0xfedcba9876543210,
      .limit = 64};
  std::vector<std::string> words = to_words(order);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto back = order_of(argv);
  ASSERT_TRUE(back);
  for (std::uint64_t number = 0; number < 1000; ++number) {
    ASSERT_EQ(wait_of(*back, number), wait_of(order, number)) << number;
  }
  EXPECT_EQ(back->limit, 64U);
  std::string wrong = "delay=soon";
  argv = {wrong.data()};
  EXPECT_FALSE(order_of(argv));
}

TEST(WaitOrderTest, WaitsAreSpreadAsAskedAndNoneIsLongerThanFiveSeconds) {
  const WaitOrder uniform{.shape = {.delay = 20ms, .jitter = 10ms, .table = {}}, .seed = 1, .limit = 1};
  double sum = 0;
  constexpr int kCalls = 10'000;
  for (std::uint64_t number = 0; number < kCalls; ++number) {
    const nanoseconds wait = wait_of(uniform, number);
    EXPECT_GE(wait, 10ms);
    EXPECT_LE(wait, 30ms);
    sum += static_cast<double>(wait.count()) / 1e6;
  }
  // The deviation of a uniform one of half width 10 is 5.77; of the mean of so many, a hundredth of that.
  EXPECT_NEAR(sum / kCalls, 20, 4 * 0.0577);
  const WaitOrder wild{
      .shape = {.delay = 4s, .jitter = 1s, .distribution = Distribution::kPareto, .table = {}}, .seed = 1, .limit = 1};
  for (std::uint64_t number = 0; number < kCalls; ++number) EXPECT_LE(wait_of(wild, number), kLongestWait);
}

TEST(WaitTimes, TheKernelsBucketsAreTheHistograms) {
  std::uint64_t value = 1;
  for (int i = 0; i < 10'000; ++i) {
    value = next_hash(value);
    const std::uint64_t some = value >> (value & 63);
    ASSERT_EQ(chaos_time_bucket(some), Histogram::bucket_of(some)) << some;
  }
  for (std::uint64_t some = 0; some < 5000; ++some) ASSERT_EQ(chaos_time_bucket(some), Histogram::bucket_of(some));
}

TEST(WaitPrograms, CopiesAreAsManyAsMayWaitOnACpu) {
  EXPECT_EQ(copies_for(64, 2), static_cast<unsigned>(CHAOS_WAIT_COPIES));
  EXPECT_EQ(copies_for(64, 16), 8U);
  EXPECT_EQ(copies_for(1, 16), 2U);
}

}  // namespace
}  // namespace chaos
