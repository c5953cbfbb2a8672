// Each rule of admission: what it refuses, and what is just inside.
#include "safety/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "safety_support.h"

namespace chaos::test {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr WallTime kNow{std::chrono::milliseconds(1'700'000'000'000)};

Result<std::optional<AdmittedPlan>> ask(const Plan& plan, const ChaosTesting& policy, ActiveSet active = {}) {
  active.now = kNow;
  return admit(plan, policy, active);
}

void expect_admitted(const Plan& plan, const ChaosTesting& policy, const ActiveSet& active = {}) {
  const auto answer = ask(plan, policy, active);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->has_value()) << "it would have to wait";
}

Error expect_refused(const Plan& plan, const ChaosTesting& policy, std::string_view rule,
                     const ActiveSet& active = {}) {
  const auto answer = ask(plan, policy, active);
  EXPECT_FALSE(answer) << "admitted against " << rule;
  if (answer) return {};
  EXPECT_EQ(answer.error().code, Errc::kRefused);
  EXPECT_EQ(answer.error().rule, rule) << answer.error().message;
  EXPECT_FALSE(answer.error().hint.empty()) << "says not what would fit: " << answer.error().message;
  return answer.error();
}

std::vector<Footprint> footprints(std::initializer_list<unsigned> members) {
  std::vector<Footprint> all;
  for (const unsigned i : members) all.push_back(touching(loss_plan(), {i}).footprint);
  return all;
}

TEST(Admission, AnOrdinaryPlanPassesTheShippedPolicy) { expect_admitted(loss_plan(), ChaosTesting{}); }

TEST(Admission, Latch) {
  expect_refused(loss_plan(), {}, "emergency stop latch", {.brakes = {.latched = true}});
  expect_admitted(loss_plan(), {}, {.brakes = {.latched = false}});
}

TEST(Admission, Audit) { expect_refused(loss_plan(), {}, "audit before action", {.brakes = {.audit_broken = true}}); }

TEST(Admission, Enabled) {
  ChaosTesting policy;
  policy.scenarios["packet_loss"].enabled = false;
  expect_refused(loss_plan(), policy, "chaos_testing.scenarios.packet_loss.enabled");
  policy.scenarios["packet_loss"].enabled = true;
  policy.scenarios["latency_injection"].enabled = false;
  expect_admitted(loss_plan(), policy);
}

TEST(Admission, MaxSeverity) {
  ChaosTesting policy;
  policy.max_severity = 3;
  expect_admitted(with_severity(loss_plan(), 3), policy);
  const Error error = expect_refused(with_severity(loss_plan(), 4), policy, "chaos_testing.max_severity");
  EXPECT_EQ(error.field, "severity");
  EXPECT_THAT(error.message, HasSubstr("severity 4 is above the limit of 3"));
  EXPECT_THAT(error.hint, HasSubstr("3 or less"));
}

TEST(Admission, MaxSeverityHoldsForExplicitParametersToo) {
  ChaosTesting policy;
  policy.max_severity = 3;
  Plan plan = loss_plan();
  expect_admitted(plan, policy);
  plan.severity = 4;
  EXPECT_THAT(expect_refused(plan, policy, "chaos_testing.max_severity").message, HasSubstr("counts as severity 4"));
}

TEST(Admission, SeverityLevels) {
  ChaosTesting policy;
  policy.scenarios["packet_loss"].severity_levels = {1, 3};
  const std::string rule = "chaos_testing.scenarios.packet_loss.severity_levels";
  expect_admitted(with_severity(loss_plan(), 1), policy);
  expect_admitted(with_severity(loss_plan(), 3), policy);
  EXPECT_THAT(expect_refused(with_severity(loss_plan(), 2), policy, rule).hint, HasSubstr("1, 3"));
  expect_refused(with_severity(loss_plan(), 4), policy, rule);
  expect_admitted(loss_plan(), policy);
}

TEST(Admission, Reason) {
  ChaosTesting policy;
  policy.require_reason_above_severity = 3;
  expect_admitted(with_severity(loss_plan(), 3), policy);
  Plan plan = with_severity(loss_plan(), 4);
  EXPECT_EQ(expect_refused(plan, policy, "chaos_testing.require_reason_above_severity").field, "reason");
  plan.request.reason = "drill";
  expect_admitted(plan, policy);
  policy.require_reason_above_severity = 0;
  expect_refused(with_severity(loss_plan(), 1), policy, "chaos_testing.require_reason_above_severity");
}

TEST(Admission, SafetyTimeout) {
  ChaosTesting policy;
  policy.safety_timeout = 600s;
  Plan plan = loss_plan();
  plan.request.duration = 600s;
  expect_admitted(plan, policy);
  plan.request.duration = 600s + 1ns;
  const Error error = expect_refused(plan, policy, "chaos_testing.safety_timeout");
  EXPECT_EQ(error.field, "duration");
  EXPECT_THAT(error.hint, HasSubstr("10m"));
}

TEST(Admission, ShortestDuration) {
  Plan plan = loss_plan();
  plan.request.duration = 1ms;
  expect_admitted(plan, {});
  for (const auto duration : {1ms - 1ns, 0ns}) {
    plan.request.duration = duration;
    const auto answer = ask(plan, {});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::kInvalid);
    EXPECT_EQ(answer.error().field, "duration");
  }
}

TEST(Admission, ProtectedThings) {
  Plan plan = loss_plan();
  plan.protected_things = {"unit sshd.service"};
  EXPECT_THAT(expect_refused(plan, {}, "protect").message, HasSubstr("sshd.service"));
}

TEST(Admission, Hours) {
  ChaosTesting policy;
  // 2023-11-14 22:13:20 UTC, a Tuesday.
  policy.allowed_hours.windows = {{.days = 0b10, .from = 22h, .to = 22h + 14min}};
  expect_admitted(loss_plan(), policy);
  policy.allowed_hours.windows = {{.days = 0b10, .from = 22h, .to = 22h + 13min}};
  const Error error = expect_refused(loss_plan(), policy, "chaos_testing.allowed_hours");
  EXPECT_THAT(error.message, HasSubstr("tue 22:00-22:13 (UTC)"));
  EXPECT_THAT(error.hint, HasSubstr("2023-11-21T22:00:00.000Z"));
}

TEST(Admission, BlastRadius) {
  ChaosTesting policy;
  policy.max_concurrent_scenarios = 64;
  const std::string rule = "chaos_testing.blast_radius_limit";
  expect_admitted(touching(loss_plan(), {0, 1, 2}), policy);
  const Error error = expect_refused(touching(loss_plan(), {0, 1, 2, 3}), policy, rule);
  EXPECT_EQ(error.field, "target");
  EXPECT_THAT(error.message, HasSubstr("0.40 of configured services, above the limit of 0.30"));
  EXPECT_THAT(error.hint, HasSubstr("0.00 is taken by active scenarios, so 0.30 more fits"));
}

TEST(Admission, BlastRadiusCountsWhatIsActiveOnce) {
  ChaosTesting policy;
  policy.max_concurrent_scenarios = 64;
  const ActiveSet active{.footprints = footprints({0, 1, 1})};
  expect_admitted(touching(loss_plan(), {2}), policy, active);
  expect_admitted(touching(loss_plan(), {0, 1}), policy, active);
  EXPECT_THAT(expect_refused(touching(loss_plan(), {2, 3}), policy, "chaos_testing.blast_radius_limit", active).hint,
              HasSubstr("0.20 is taken"));
}

TEST(Admission, BlastRadiusOfAKindGoesBeforeTheGeneralOne) {
  ChaosTesting policy;
  policy.scenarios["packet_loss"].blast_radius_limit = Probability::from_ppb(100'000'000);
  expect_admitted(touching(loss_plan(), {0}), policy);
  expect_refused(touching(loss_plan(), {0, 1}), policy, "chaos_testing.scenarios.packet_loss.blast_radius_limit");
  policy.scenarios["packet_loss"].blast_radius_limit = Probability::from_ppb(900'000'000);
  expect_admitted(touching(loss_plan(), {0, 1, 2, 3, 4, 5, 6, 7, 8}), policy);
}

TEST(Admission, WhatAllShareIsEverything) {
  Plan plan = loss_plan();
  plan.footprint = {.everything = true, .members = {}};
  ChaosTesting policy;
  policy.blast_radius_limit = Probability::from_ppb(999'999'999);
  expect_refused(plan, policy, "chaos_testing.blast_radius_limit");
  policy.blast_radius_limit = Probability::from_ppb(1'000'000'000);
  expect_admitted(plan, policy);
  const ActiveSet active{.footprints = {plan.footprint}};
  policy.blast_radius_limit = Probability::from_ppb(300'000'000);
  expect_refused(loss_plan(), policy, "chaos_testing.blast_radius_limit", active);
}

TEST(Admission, MaxConcurrentScenarios) {
  ChaosTesting policy;
  policy.max_concurrent_scenarios = 3;
  policy.blast_radius_limit = Probability::from_ppb(1'000'000'000);
  expect_admitted(loss_plan(), policy, {.footprints = footprints({1, 2})});
  const auto answer = ask(loss_plan(), policy, {.footprints = footprints({1, 2, 3})});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->has_value()) << "runs beyond the limit";
}

TEST(Admission, NobodyOvertakesTheQueue) {
  const auto answer = ask(loss_plan(), {}, {.ahead = 1});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE(answer->has_value());
}

TEST(Admission, QueueLimit) {
  ChaosTesting policy;
  policy.max_concurrent_scenarios = 1;
  policy.queue_limit = 2;
  policy.blast_radius_limit = Probability::from_ppb(1'000'000'000);
  const auto waits = ask(loss_plan(), policy, {.footprints = footprints({1}), .ahead = 1});
  ASSERT_TRUE(waits) << waits.error().message;
  EXPECT_FALSE(waits->has_value());
  expect_refused(loss_plan(), policy, "chaos_testing.queue_limit", {.footprints = footprints({1}), .ahead = 2});
  policy.queue_limit = 0;
  expect_refused(loss_plan(), policy, "chaos_testing.max_concurrent_scenarios", {.footprints = footprints({1})});
  expect_admitted(loss_plan(), policy);
}

TEST(Admission, AgainAfterAReload) {
  const Plan plan = with_severity(loss_plan(), 3);
  ChaosTesting policy;
  EXPECT_TRUE(check_again(plan, policy, {}));
  policy.scenarios["packet_loss"].bounds["probability"].max = "10%";
  EXPECT_TRUE(check_again(plan, policy, {}));
  policy.scenarios["packet_loss"].bounds["probability"].max = "9%";
  EXPECT_FALSE(check_again(plan, policy, {}));
  policy = {};
  policy.max_severity = 2;
  EXPECT_FALSE(check_again(plan, policy, {}));
  policy = {};
  policy.safety_timeout = 59s;
  EXPECT_FALSE(check_again(plan, policy, {}));
  policy = {};
  policy.scenarios["packet_loss"].enabled = false;
  EXPECT_FALSE(check_again(plan, policy, {}));
  policy = {};
  EXPECT_TRUE(check_again(plan, policy, footprints({1, 2})));
  EXPECT_FALSE(check_again(plan, policy, footprints({1, 2, 3})));
}

TEST(Admission, ListsOfComponentFailure) {
  static constexpr KindSpec kComponentSpec{.name = "component_failure",
                                           .help = "",
                                           .parameters = {},
                                           .ownership = Ownership::kJournaled,
                                           .targets = {},
                                           .features = {}};
  Plan plan = loss_plan();
  plan.kind = &kComponentSpec;
  plan.parameters = {{"failure_type", "crash"}};
  plan.request.target = {{"service", {"message-queue"}}};
  expect_admitted(plan, {});
  ChaosTesting policy;
  policy.component_failure.failure_types = {"hang"};
  EXPECT_THAT(expect_refused(plan, policy, "chaos_testing.scenarios.component_failure.failure_types").hint,
              HasSubstr("hang"));
  plan.request.target = {{"service", {"web"}}};
  EXPECT_EQ(expect_refused(plan, {}, "chaos_testing.scenarios.component_failure.target_services").field,
            "target.service");
  policy = {};
  policy.component_failure.target_services = {"web"};
  expect_admitted(plan, policy);
  // A thing of its own is no service of the list, and not narrowed by it.
  plan.request.target = {{"cgroup", {"/web"}}};
  expect_admitted(plan, {});
}

}  // namespace
}  // namespace chaos::test
