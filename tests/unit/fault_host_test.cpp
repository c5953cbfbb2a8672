// The life of a fault that is a change of the host: whole, in pulses, within a budget, under the gate. The change is
// one that only notes when it was made and taken back.
#include "fault/host_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct Notes {
  std::mutex mutex;
  int applied = 0;
  int withdrawn = 0;
  bool on = false;
  bool finished = false;
  bool refuses = false;
  bool lost = false;
  nanoseconds ends_at{0};
  nanoseconds spent{0};
  steady_clock::time_point since;
};

class NotedChange final : public HostChange {
 public:
  explicit NotedChange(Notes& notes) : notes_(notes) {}
  Status apply() override {
    const std::scoped_lock lock(notes_.mutex);
    if (notes_.refuses) return fail(Errc::kUnavailable, "not now");
    ++notes_.applied;
    notes_.on = true;
    notes_.since = steady_clock::now();
    return {};
  }
  void withdraw() override {
    const std::scoped_lock lock(notes_.mutex);
    ++notes_.withdrawn;
    if (notes_.on) notes_.spent += steady_clock::now() - notes_.since;
    notes_.on = false;
  }
  Status finish() override {
    const std::scoped_lock lock(notes_.mutex);
    notes_.finished = true;
    return {};
  }
  Status follow(const ProcessReach& /*reach*/) override { return {}; }
  void check() override {}
  void ends_at(nanoseconds boottime) override { notes_.ends_at = boottime; }
  [[nodiscard]] std::string failure() const override {
    const std::scoped_lock lock(notes_.mutex);
    return notes_.lost ? "it is gone" : "";
  }
  [[nodiscard]] std::vector<std::string> remarks() const override { return {"looked at"}; }

 private:
  Notes& notes_;
};

class HostFaultTest : public testing::Test {
 protected:
  HostFaultTest() { renew(1min); }
  void renew(nanoseconds validity) {
    const auto until = static_cast<std::uint64_t>((system_clock().monotonic() + validity).count());
    std::atomic_ref(control_.lease_until_ns).store(until);
    std::atomic_ref(control_.armed).store(1);
  }
  [[nodiscard]] HostFault make(HostFault::Options options = {}) {
    return {std::make_unique<NotedChange>(notes_), ActGate(control_), std::move(options)};
  }
  [[nodiscard]] bool is_on() {
    const std::scoped_lock lock(notes_.mutex);
    return notes_.on;
  }
  /// How long until it is off; far more than any test waits if it never is.
  [[nodiscard]] nanoseconds off_after() {
    const auto began = steady_clock::now();
    while (is_on() && steady_clock::now() < began + 10s) std::this_thread::sleep_for(1ms);
    return steady_clock::now() - began;
  }

  chaos_control control_{};
  Notes notes_;
};

TEST(Slices, TheShorterSpellIsTheSlice) {
  EXPECT_EQ(slices(0.5, 10ms).on, 10ms);
  EXPECT_EQ(slices(0.5, 10ms).off, 10ms);
  EXPECT_EQ(slices(0.2, 10ms).on, 10ms);
  EXPECT_EQ(slices(0.2, 10ms).off, 40ms);
  EXPECT_EQ(slices(0.9, 5ms).off, 5ms);
  EXPECT_NEAR(std::chrono::duration<double>(slices(0.9, 5ms).on).count(), 0.045, 1e-6);
}

TEST_F(HostFaultTest, IsThereWhenArmedAndGoneWhenSilenced) {
  HostFault fault = make();
  ASSERT_TRUE(fault.arm(1min));
  EXPECT_TRUE(is_on());
  fault.silence();
  EXPECT_LT(off_after(), 1s);
  ASSERT_TRUE(fault.remove());
  EXPECT_TRUE(notes_.finished);
  EXPECT_EQ(fault.counters().injected, 1U);
  EXPECT_EQ(fault.counters().evaluated, 1U);
  EXPECT_THAT(fault.target_state().remarks, testing::ElementsAre("looked at"));
}

TEST_F(HostFaultTest, TellsTheChangeWhenItEndsAndIsToldWhenItIsLost) {
  HostFault fault = make();
  const auto before = system_clock().boottime();
  ASSERT_TRUE(fault.arm(1min));
  EXPECT_GE(notes_.ends_at, before + 1min);
  EXPECT_LE(notes_.ends_at, system_clock().boottime() + 1min);
  EXPECT_EQ(fault.target_state().failure, "");
  {
    const std::scoped_lock lock(notes_.mutex);
    notes_.lost = true;
  }
  const auto began = steady_clock::now();
  while (fault.target_state().failure.empty() && steady_clock::now() < began + 10s) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(fault.target_state().failure, "it is gone");
}

TEST_F(HostFaultTest, EndsByItselfAtItsDeadline) {
  HostFault fault = make();
  const auto began = steady_clock::now();
  ASSERT_TRUE(fault.arm(300ms));
  (void)off_after();
  const auto took = steady_clock::now() - began;
  EXPECT_GE(took, 299ms);
  EXPECT_LT(took, 1300ms);
}

TEST_F(HostFaultTest, EndsWhenTheLeaseRunsOutAndAtTheEmergencyStop) {
  for (const bool lease : {true, false}) {
    HostFault fault = make();
    ASSERT_TRUE(fault.arm(1min));
    if (lease) {
      std::atomic_ref(control_.lease_until_ns).store(1);
    } else {
      std::atomic_ref(control_.armed).store(0);
    }
    EXPECT_LT(off_after(), 1s);
    // And it is not taken up again.
    renew(1min);
    std::this_thread::sleep_for(300ms);
    EXPECT_FALSE(is_on());
  }
}

TEST_F(HostFaultTest, NothingIsDoneBehindAClosedGate) {
  std::atomic_ref(control_.armed).store(0);
  HostFault fault = make();
  EXPECT_FALSE(fault.arm(1min));
  EXPECT_EQ(notes_.applied, 0);
}

TEST_F(HostFaultTest, AChangeThatCannotBeMadeIsNoFault) {
  notes_.refuses = true;
  HostFault fault = make();
  const Status armed = fault.arm(1min);
  ASSERT_FALSE(armed);
  EXPECT_EQ(armed.error().code, Errc::kUnavailable);
  EXPECT_EQ(fault.counters().injected, 0U);
}

TEST_F(HostFaultTest, PulsesHoldTheirShare) {
  HostFault fault = make({.rhythm = slices(0.3, 10ms)});
  const auto began = steady_clock::now();
  ASSERT_TRUE(fault.arm(1min));
  std::this_thread::sleep_for(2s);
  fault.silence();
  (void)off_after();
  const nanoseconds passed = steady_clock::now() - began;
  ASSERT_TRUE(fault.remove());
  const double share = static_cast<double>(notes_.spent.count()) / static_cast<double>(passed.count());
  // One slice of some sixty may be cut off, and a busy machine wakes up late: that must be made good.
  EXPECT_NEAR(share, 0.3, 0.03);
  EXPECT_GT(notes_.applied, 20);
  EXPECT_EQ(notes_.withdrawn, notes_.applied);
  EXPECT_EQ(fault.counters().injected, static_cast<std::uint64_t>(notes_.applied));
}

TEST_F(HostFaultTest, ABudgetCountsApplications) {
  HostFault fault = make({.rhythm = {10ms, 10ms}, .max_events = 2});
  ASSERT_TRUE(fault.arm(1min));
  while (fault.counters().spared_budget < 3) std::this_thread::sleep_for(1ms);
  ASSERT_TRUE(fault.remove());
  EXPECT_EQ(notes_.applied, 2);
  const Counters counters = fault.counters();
  EXPECT_EQ(counters.injected, 2U);
  EXPECT_EQ(counters.matched, counters.injected + counters.spared_budget);
}

TEST_F(HostFaultTest, InShadowItIsOnlyCounted) {
  HostFault fault = make({.shadow = true});
  ASSERT_TRUE(fault.arm(1min));
  EXPECT_EQ(fault.counters().shadowed, 1U);
  EXPECT_EQ(notes_.applied, 0);
}

}  // namespace
}  // namespace chaos
