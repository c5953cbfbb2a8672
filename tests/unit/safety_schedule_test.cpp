#include "safety/schedule.h"

#include <gtest/gtest.h>

#include "safety_support.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kNow{std::chrono::milliseconds(1'700'000'000'000)};

ChaosTesting slots(unsigned count) {
  ChaosTesting policy;
  policy.max_concurrent_scenarios = count;
  policy.blast_radius_limit = Probability::from_ppb(1'000'000'000);
  return policy;
}

Plan lasting(std::chrono::seconds duration, unsigned member = 0) {
  Plan plan = touching(loss_plan(), {member});
  plan.request.duration = duration;
  return plan;
}

bool runs(Schedule& schedule, const std::string& id, Plan plan) {
  const auto answer = schedule.request(id, std::move(plan), {}, kNow);
  EXPECT_TRUE(answer) << answer.error().message;
  return answer && answer->has_value();
}

TEST(Schedule, FirstComeFirstServed) {
  Schedule schedule(slots(1));
  EXPECT_TRUE(runs(schedule, "a", lasting(10s)));
  EXPECT_FALSE(runs(schedule, "b", lasting(10s)));
  EXPECT_FALSE(runs(schedule, "c", lasting(10s)));
  EXPECT_EQ(schedule.position("a"), 0U);
  EXPECT_EQ(schedule.position("b"), 1U);
  EXPECT_EQ(schedule.position("c"), 2U);
  EXPECT_EQ(schedule.next_turn(), std::nullopt) << "there is no slot";
  schedule.release("a");
  EXPECT_EQ(schedule.next_turn(), "b");
  EXPECT_EQ(schedule.next_turn(), std::nullopt);
  EXPECT_EQ(schedule.running(), 1U) << "its turn takes the slot";
  ASSERT_TRUE(schedule.admit_turn("b", lasting(10s), {}, kNow));
  EXPECT_EQ(schedule.position("c"), 1U);
}

TEST(Schedule, OneThatIsNotAdmittedAtItsTurnMakesRoom) {
  Schedule schedule(slots(1));
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  ASSERT_FALSE(runs(schedule, "b", lasting(10s)));
  ASSERT_FALSE(runs(schedule, "c", lasting(10s)));
  schedule.release("a");
  ASSERT_EQ(schedule.next_turn(), "b");
  Plan now_protected = lasting(10s);
  now_protected.protected_things = {"unit sshd.service"};
  const auto refused = schedule.admit_turn("b", now_protected, {}, kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().rule, "protect");
  schedule.release("b");
  EXPECT_EQ(schedule.next_turn(), "c");
}

TEST(Schedule, NothingTakesItsTurnAgainstTheBrakes) {
  Schedule schedule(slots(1));
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  ASSERT_FALSE(runs(schedule, "b", lasting(10s)));
  schedule.release("a");
  ASSERT_EQ(schedule.next_turn(), "b");
  EXPECT_FALSE(schedule.admit_turn("b", lasting(10s), {.latched = true}, kNow));
  EXPECT_FALSE(schedule.admit_turn("b", lasting(10s), {.audit_broken = true}, kNow));
}

TEST(Schedule, CancelledOnesLeaveTheOrderOfTheOthers) {
  Schedule schedule(slots(1));
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  for (const char* id : {"b", "c", "d"}) ASSERT_FALSE(runs(schedule, id, lasting(10s)));
  schedule.release("c");
  EXPECT_EQ(schedule.position("b"), 1U);
  EXPECT_EQ(schedule.position("c"), 0U);
  EXPECT_EQ(schedule.position("d"), 2U);
  EXPECT_EQ(schedule.waiting(), 2U);
}

TEST(Schedule, RefusalChangesNothing) {
  Schedule schedule(slots(1));
  Plan plan = lasting(10s);
  plan.request.duration = 2h;
  EXPECT_FALSE(schedule.request("a", plan, {}, kNow));
  EXPECT_EQ(schedule.running(), 0U);
  EXPECT_EQ(schedule.waiting(), 0U);
}

TEST(Schedule, DryRunChangesNothing) {
  Schedule schedule(slots(1));
  ASSERT_TRUE(schedule.consider(lasting(10s), {}, kNow)->has_value());
  EXPECT_EQ(schedule.running(), 0U);
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  EXPECT_FALSE(schedule.consider(lasting(10s), {}, kNow)->has_value());
  EXPECT_EQ(schedule.waiting(), 0U);
}

TEST(Schedule, ExpectedStart) {
  Schedule schedule(slots(2));
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  ASSERT_TRUE(runs(schedule, "b", lasting(30s)));
  schedule.started("a", kNow + 10s);
  schedule.started("b", kNow + 30s);
  ASSERT_FALSE(runs(schedule, "c", lasting(5s)));
  ASSERT_FALSE(runs(schedule, "d", lasting(100s)));
  ASSERT_FALSE(runs(schedule, "e", lasting(1s)));
  EXPECT_EQ(schedule.expected_start("c", kNow), kNow + 10s);
  EXPECT_EQ(schedule.expected_start("d", kNow), kNow + 15s);
  EXPECT_EQ(schedule.expected_start("e", kNow), kNow + 30s);
  EXPECT_EQ(schedule.expected_start("a", kNow), std::nullopt);
  EXPECT_EQ(schedule.expected_start("c", kNow + 20s), kNow + 20s) << "not in the past";
}

TEST(Schedule, ExpectedStartAfterTheLimitWasLowered) {
  Schedule schedule(slots(2));
  ASSERT_TRUE(runs(schedule, "a", lasting(10s)));
  ASSERT_TRUE(runs(schedule, "b", lasting(30s)));
  schedule.started("a", kNow + 10s);
  schedule.started("b", kNow + 30s);
  ASSERT_FALSE(runs(schedule, "c", lasting(5s)));
  schedule.set_policy(slots(1));
  EXPECT_EQ(schedule.expected_start("c", kNow), kNow + 30s);
}

TEST(Schedule, MisfitsAreTheYoungerOnes) {
  ChaosTesting policy = slots(5);
  Schedule schedule(policy);
  for (unsigned i = 0; i < 4; ++i) ASSERT_TRUE(runs(schedule, "id" + std::to_string(i), lasting(10s, i)));
  EXPECT_TRUE(schedule.misfits().empty());
  policy.blast_radius_limit = Probability::from_ppb(300'000'000);
  schedule.set_policy(policy);
  ASSERT_EQ(schedule.misfits().size(), 1U);
  EXPECT_EQ(schedule.misfits()[0].id, "id3");
  EXPECT_EQ(schedule.misfits()[0].why.rule, "chaos_testing.blast_radius_limit");
  schedule.set_policy(slots(2));
  ASSERT_EQ(schedule.misfits().size(), 2U);
  EXPECT_EQ(schedule.misfits()[0].id, "id2");
  EXPECT_EQ(schedule.misfits()[1].id, "id3");
  EXPECT_EQ(schedule.misfits()[0].why.rule, "chaos_testing.max_concurrent_scenarios");
}

}  // namespace
}  // namespace chaos::test
