// 100,000 generated sequences of requests, ends, cancellations, emergency stops and reloads: schedule and admission
// against the model, after every step.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "safety/schedule.h"
#include "safety_support.h"
#include "tests/support/policy_model.h"

namespace chaos::test {
namespace {

using Random = std::mt19937_64;

unsigned below(Random& random, unsigned limit) {
  return static_cast<unsigned>(std::uniform_int_distribution<unsigned>(0, limit - 1)(random));
}

bool chance(Random& random, unsigned percent) { return below(random, 100) < percent; }

PolicyModel::Policy some_policy(Random& random) {
  PolicyModel::Policy policy;
  policy.slots = 1 + below(random, 4);
  policy.queue = below(random, 4);
  policy.max_severity = chance(random, 70) ? 5 : static_cast<int>(1 + below(random, 5));
  if (chance(random, 30)) {
    policy.levels.clear();
    for (int level = 1; level <= 5; ++level) {
      if (chance(random, 50)) policy.levels.insert(level);
    }
  }
  policy.reason_above = chance(random, 70) ? 5 : static_cast<int>(below(random, 6));
  policy.longest_s = 60 + 60 * static_cast<int>(below(random, 3));
  policy.enabled = chance(random, 95);
  policy.limit_percent = 10 + 10 * below(random, 10);
  policy.population = 3 + below(random, 4);
  return policy;
}

PolicyModel::Request some_request(Random& random, const PolicyModel::Policy& policy) {
  PolicyModel::Request request;
  request.severity = static_cast<int>(below(random, 6));
  request.counts_as = static_cast<int>(1 + below(random, 5));
  request.reason = chance(random, 60);
  request.duration_s = 30 + 30 * below(random, 6);
  // Now and then on both sides of a limit exactly.
  if (chance(random, 20)) request.duration_s = policy.longest_s + below(random, 2);
  const unsigned members = below(random, 3);
  for (unsigned i = 0; i <= members; ++i) request.touches.insert(below(random, policy.population + 2));
  request.everything = chance(random, 3);
  request.touches_protected = chance(random, 5);
  return request;
}

ChaosTesting as_config(const PolicyModel::Policy& policy) {
  ChaosTesting config;
  config.max_concurrent_scenarios = policy.slots;
  config.queue_limit = policy.queue;
  config.max_severity = policy.max_severity;
  config.require_reason_above_severity = policy.reason_above;
  config.safety_timeout = std::chrono::seconds(policy.longest_s);
  config.blast_radius_limit = Probability::from_ppb(policy.limit_percent * 10'000'000U);
  KindPolicy& kind = config.scenarios["packet_loss"];
  kind.enabled = policy.enabled;
  kind.severity_levels.assign(policy.levels.begin(), policy.levels.end());
  return config;
}

Plan as_plan(const PolicyModel::Request& request, unsigned population) {
  Plan plan;
  plan.kind = &kLossSpec;
  plan.request.duration = std::chrono::seconds(request.duration_s);
  if (request.severity != 0) plan.request.severity = request.severity;
  if (request.reason) plan.request.reason = "because";
  plan.severity = request.severity != 0 ? request.severity : request.counts_as;
  plan.population = services(population);
  plan = touching(std::move(plan), {request.touches.begin(), request.touches.end()});
  plan.footprint.everything = request.everything;
  if (request.touches_protected) plan.protected_things = {"unit sshd.service"};
  return plan;
}

std::string name_of(unsigned id) { return "id" + std::to_string(1'000'000 + id); }

/// Does with a Schedule what Scenarios does, without the kernel.
class Driver {
 public:
  explicit Driver(const PolicyModel::Policy& policy) : population_(policy.population), schedule_(as_config(policy)) {}

  Result<std::optional<AdmittedPlan>> ask(unsigned id, const PolicyModel::Request& request) {
    requests_[name_of(id)] = request;
    return schedule_.request(name_of(id), as_plan(request, population_), brakes_, {});
  }
  void remove(unsigned id) {
    schedule_.release(name_of(id));
    move_up();
  }
  void emergency_stop(const std::vector<unsigned>& ids) {
    brakes_.latched = true;
    for (const unsigned id : ids) schedule_.release(name_of(id));
  }
  void rearm() { brakes_.latched = false; }
  void set_policy(const PolicyModel::Policy& policy) {
    schedule_.set_policy(as_config(policy));
    move_up();
  }
  [[nodiscard]] const Schedule& schedule() const { return schedule_; }

 private:
  void move_up() {
    if (brakes_.latched) return;
    while (const auto id = schedule_.next_turn()) {
      if (!schedule_.admit_turn(*id, as_plan(requests_[*id], population_), brakes_, {})) schedule_.release(*id);
    }
  }
  unsigned population_;
  Schedule schedule_;
  Brakes brakes_;
  std::map<std::string, PolicyModel::Request> requests_;
};

class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : random_(seed), model_(some_policy(random_)), driver_(model_.policy()) {}

  void step() {
    const unsigned what = below(random_, 100);
    if (what < 60) return ask();
    if (what < 80) return remove(model_.running());
    if (what < 87) return remove(model_.waiting());
    if (what < 91) return emergency_stop();
    if (what < 97) return rearm();
    PolicyModel::Policy policy = some_policy(random_);
    policy.population = model_.policy().population;
    model_.set_policy(policy);
    driver_.set_policy(policy);
  }
  void expect_equal() const {
    const std::vector<unsigned> waiting = model_.waiting();
    ASSERT_EQ(driver_.schedule().running(), model_.running().size());
    ASSERT_EQ(driver_.schedule().waiting(), waiting.size());
    for (unsigned i = 0; i < waiting.size(); ++i) ASSERT_EQ(driver_.schedule().position(name_of(waiting[i])), i + 1);
    for (const unsigned id : model_.running()) ASSERT_EQ(driver_.schedule().position(name_of(id)), 0U);
  }
  [[nodiscard]] const std::map<PolicyModel::Outcome, unsigned>& outcomes() const { return outcomes_; }
  [[nodiscard]] const std::set<std::string>& rules() const { return rules_; }

 private:
  void ask() {
    const unsigned id = next_id_++;
    const PolicyModel::Request request = some_request(random_, model_.policy());
    const std::set<std::string> against = model_.against(request);
    const auto expected = model_.ask(id, request);
    const auto got = driver_.ask(id, request);
    ++outcomes_[expected];
    ASSERT_EQ(got.has_value(), expected != PolicyModel::Outcome::kRefused) << (got ? "" : got.error().message);
    if (got) {
      ASSERT_EQ(got->has_value(), expected == PolicyModel::Outcome::kRuns);
      return;
    }
    rules_.insert(got.error().rule);
    if (against.empty()) {
      ASSERT_EQ(got.error().rule,
                model_.policy().queue == 0 ? "chaos_testing.max_concurrent_scenarios" : "chaos_testing.queue_limit");
    } else {
      ASSERT_TRUE(against.contains(got.error().rule)) << got.error().rule;
    }
  }
  void remove(const std::vector<unsigned>& ids) {
    if (ids.empty()) return;
    const unsigned id = ids[below(random_, static_cast<unsigned>(ids.size()))];
    model_.remove(id);
    driver_.remove(id);
  }
  void emergency_stop() {
    std::vector<unsigned> all = model_.running();
    const std::vector<unsigned> waiting = model_.waiting();
    all.insert(all.end(), waiting.begin(), waiting.end());
    model_.emergency_stop();
    driver_.emergency_stop(all);
  }
  void rearm() {
    model_.rearm();
    driver_.rearm();
  }

  Random random_;
  PolicyModel model_;
  Driver driver_;
  unsigned next_id_ = 0;
  std::map<PolicyModel::Outcome, unsigned> outcomes_;
  std::set<std::string> rules_;
};

TEST(SafetyModel, AHundredThousandSequencesAgree) {
  constexpr unsigned kSequences = 100'000;
  std::map<PolicyModel::Outcome, unsigned> outcomes;
  std::set<std::string> rules;
  for (std::uint64_t seed = 1; seed <= kSequences; ++seed) {
    Sequence sequence(seed);
    const unsigned steps = 6 + static_cast<unsigned>(seed % 9);
    for (unsigned i = 0; i < steps; ++i) {
      sequence.step();
      sequence.expect_equal();
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
    }
    for (const auto& [outcome, count] : sequence.outcomes()) outcomes[outcome] += count;
    rules.insert(sequence.rules().begin(), sequence.rules().end());
  }
  std::printf("[ MEASURED ] %u sequences: %u ran at once, %u waited, %u refused by %zu rules\n", kSequences,
              outcomes[PolicyModel::Outcome::kRuns], outcomes[PolicyModel::Outcome::kWaits],
              outcomes[PolicyModel::Outcome::kRefused], rules.size());
  EXPECT_GT(outcomes[PolicyModel::Outcome::kRuns], kSequences / 10);
  EXPECT_GT(outcomes[PolicyModel::Outcome::kWaits], kSequences / 10);
  EXPECT_GT(outcomes[PolicyModel::Outcome::kRefused], kSequences / 10);
  EXPECT_EQ(rules.size(), 10U) << "the sequences do not reach every rule";
}

}  // namespace
}  // namespace chaos::test
