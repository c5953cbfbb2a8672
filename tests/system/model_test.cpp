// Generated sequences of requests, ends, cancellations, reloads and emergency stops against a real daemon: after every
// step it has to agree with the model of the rules; bpftool says what really is in the kernel.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "support/child.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/policy_model.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using Random = std::mt19937_64;

constexpr unsigned kServices = 6;
constexpr unsigned kTargets = 5;
constexpr unsigned kProtectedTarget = kTargets - 1;
constexpr uid_t kProtectedUid = 54'321;
constexpr const char* kSteps[]{"1%", "5%", "10%", "30%", "100%"};

unsigned below(Random& random, unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random); }

bool chance(Random& random, unsigned percent) { return below(random, 100) < percent; }

PolicyModel::Policy some_policy(Random& random) {
  PolicyModel::Policy policy;
  policy.slots = 1 + below(random, 3);
  policy.queue = below(random, 4);
  policy.max_severity = chance(random, 70) ? 5 : static_cast<int>(1 + below(random, 5));
  if (chance(random, 30)) policy.levels = {1, 3, 4};
  policy.reason_above = chance(random, 70) ? 5 : static_cast<int>(below(random, 6));
  policy.longest_s = 120;
  policy.enabled = chance(random, 95);
  policy.limit_percent = 15 + 15 * below(random, 4);
  policy.population = kServices;
  return policy;
}

std::string as_yaml(const PolicyModel::Policy& policy) {
  std::ostringstream out;
  out << "chaos_testing:\n  max_concurrent_scenarios: " << policy.slots << "\n  queue_limit: " << policy.queue
      << "\n  max_severity: " << policy.max_severity << "\n  require_reason_above_severity: " << policy.reason_above
      << "\n  default_duration: 60\n  safety_timeout: " << policy.longest_s
      << "\n  blast_radius_limit: " << policy.limit_percent
      << "%\n  scenarios:\n    packet_loss:\n      enabled: " << (policy.enabled ? "true" : "false")
      << "\n      severity_levels: [";
  for (const int level : policy.levels) out << (level == *policy.levels.begin() ? "" : ", ") << level;
  out << "]\nprotect:\n  uids: [" << kProtectedUid << "]\nservices:\n";
  for (unsigned i = 0; i < kServices; ++i) out << "  s" << i << ": {process: chaos-no-such" << i << "}\n";
  return out.str();
}

class Model : public ::testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    for (unsigned i = 0; i < kTargets; ++i)
      targets_.push_back(std::make_unique<Namespace>("model" + std::to_string(i)));
    protected_process_ = std::make_unique<Child>(
        "/usr/bin/nsenter",
        std::vector<std::string>{"nsenter", "--net=/run/netns/" + targets_[kProtectedTarget]->name(), "setpriv",
                                 "--reuid", std::to_string(kProtectedUid), "--clear-groups", "sleep", "1000"});
    ASSERT_TRUE(eventually([&] {
      return try_shell("test \"$(ps -o uid= -p " + std::to_string(protected_process_->pid()) +
                       " | tr -d ' ')\" = " + std::to_string(kProtectedUid))
                 .status == 0;
    }));
    Daemon::Setup setup;
    setup.config = as_yaml(PolicyModel::Policy{});
    daemon_ = std::make_unique<Daemon>(std::move(setup));
  }

  void begin(std::uint64_t seed) {
    random_.seed(seed);
    const PolicyModel::Policy policy = some_policy(random_);
    model_ = std::make_unique<PolicyModel>(policy);
    ids_.clear();
    numbers_.clear();
    reload(policy);
  }
  void reload(const PolicyModel::Policy& policy) {
    daemon_->write_config(as_yaml(policy));
    const Response answer = daemon_->post("/api/config/reload");
    ASSERT_EQ(answer.status, 200) << answer.text;
  }

  void step() {
    const unsigned what = below(random_, 100);
    if (what < 60) return ask();
    if (what < 80) return remove(model_->running());
    if (what < 88) return remove(model_->waiting());
    if (what < 92) return emergency_stop();
    if (what < 96) return rearm();
    const PolicyModel::Policy policy = some_policy(random_);
    reload(policy);
    model_->set_policy(policy);
  }

  void ask() {
    PolicyModel::Request request;
    request.severity = static_cast<int>(below(random_, 6));
    request.counts_as = static_cast<int>(1 + below(random_, 5));
    request.reason = chance(random_, 60);
    request.duration_s = chance(random_, 90) ? 60 : 120 + below(random_, 2);
    const unsigned target = below(random_, kTargets);
    request.touches = {kServices + target};
    request.touches_protected = target == kProtectedTarget;
    const std::set<std::string> against = model_->against(request);

    json body{{"kind", "packet_loss"},
              {"target", {{"netns", targets_[target]->name()}, {"interface", "lo"}}},
              {"duration", std::to_string(request.duration_s) + "s"}};
    if (request.severity != 0) body["severity"] = request.severity;
    if (request.severity == 0) body["parameters"] = {{"probability", kSteps[request.counts_as - 1]}};
    if (request.reason) body["reason"] = "a drill";
    const Response answer = daemon_->post("/api/chaos/scenarios", body);

    const unsigned number = static_cast<unsigned>(numbers_.size());
    const auto expected = model_->ask(number, request);
    ++outcomes_[expected];
    if (expected == PolicyModel::Outcome::kRefused) {
      ASSERT_EQ(answer.status, 409) << answer.text;
      const std::string rule = answer.body.value("rule", "");
      const std::string turn =
          model_->policy().queue == 0 ? "chaos_testing.max_concurrent_scenarios" : "chaos_testing.queue_limit";
      ASSERT_TRUE(against.empty() ? rule == turn : against.contains(rule)) << answer.text;
      return;
    }
    ASSERT_EQ(answer.status, 201) << answer.text;
    ASSERT_EQ(answer.body.value("state", ""), expected == PolicyModel::Outcome::kRuns ? "active" : "queued");
    ids_[number] = id_of(answer.body);
    numbers_[ids_[number]] = {number, target};
  }
  void remove(const std::vector<unsigned>& from) {
    if (from.empty()) return;
    const unsigned number = from[below(random_, static_cast<unsigned>(from.size()))];
    const json record = daemon_->stop_scenario(ids_.at(number));
    ASSERT_TRUE(record.contains("ended_at")) << record.dump(1);
    model_->remove(number);
  }
  void emergency_stop() {
    ASSERT_EQ(daemon_->post("/api/chaos/emergency-stop").status, 200);
    model_->emergency_stop();
    ASSERT_TRUE(eventually([&] { return bpf_objects_of(daemon_->pid()).links.empty(); }));
  }
  void rearm() {
    ASSERT_TRUE(eventually([&] { return daemon_->post("/api/chaos/rearm").status == 200; }));
    model_->rearm();
  }

  /// What chaosd says, in the model's numbers: those that run, and those that wait in their order.
  struct View {
    std::set<unsigned> running;
    std::map<unsigned, unsigned> waiting;  ///< by position
    bool between = false;                  ///< one takes its turn, or is being torn down
    friend bool operator==(const View&, const View&) = default;
  };
  [[nodiscard]] View view_of_daemon() const {
    View view;
    const json listed = daemon_->get("/api/chaos/scenarios").body;
    for (const json& scenario : listed.at("scenarios")) {
      const unsigned number = numbers_.at(id_of(scenario)).first;
      if (scenario.contains("queue_position")) {
        view.waiting[scenario["queue_position"].get<unsigned>()] = number;
      } else if (scenario.value("state", "") == "active") {
        view.running.insert(number);
      } else {
        view.between = true;
      }
    }
    return view;
  }
  [[nodiscard]] View view_of_model() const {
    View view;
    for (const unsigned number : model_->running()) view.running.insert(number);
    for (const unsigned number : model_->waiting()) {
      view.waiting[static_cast<unsigned>(view.waiting.size() + 1)] = number;
    }
    return view;
  }
  void expect_equal(bool in_kernel) const {
    ASSERT_TRUE(eventually([&] { return view_of_daemon() == view_of_model(); }))
        << daemon_->get("/api/chaos/scenarios").text << '\n'
        << ::testing::PrintToString(model_->running()) << ::testing::PrintToString(model_->waiting()) << daemon_->log();
    if (!in_kernel) return;
    std::set<unsigned> devices;
    for (const unsigned number : model_->running()) devices.insert(numbers_.at(ids_.at(number)).second);
    ASSERT_FALSE(devices.contains(kProtectedTarget));
    ASSERT_LE(model_->running().size(), 3U);
    // Loopback is hit at egress only.
    ASSERT_TRUE(eventually([&] { return links_seen() == devices.size(); }))
        << links_seen() << " links for " << devices.size() << " devices";
  }
  /// Links of the daemon, as bpftool sees them.
  [[nodiscard]] std::size_t links_seen() const {
    const std::set<std::uint32_t> own = bpf_objects_of(daemon_->pid()).links;
    const std::set<std::uint32_t> seen = bpftool_links();
    return static_cast<std::size_t>(std::ranges::count_if(own, [&](std::uint32_t id) { return seen.contains(id); }));
  }
  void finish() {
    while (!model_->running().empty() || !model_->waiting().empty()) {
      remove(model_->waiting().empty() ? model_->running() : model_->waiting());
      if (HasFatalFailure()) return;
    }
    if (model_->latched()) rearm();
    expect_equal(true);
    for (const auto& [number, id] : ids_) {
      ASSERT_TRUE(daemon_->scenario(id).contains("ended_at")) << "never ended: " << id;
    }
  }

  std::vector<std::unique_ptr<Namespace>> targets_;
  std::unique_ptr<Child> protected_process_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<PolicyModel> model_;
  Random random_;
  std::map<unsigned, std::string> ids_;
  std::map<std::string, std::pair<unsigned, unsigned>> numbers_;  ///< id → number and target
  std::map<PolicyModel::Outcome, unsigned> outcomes_;
};

TEST_F(Model, SequencesOnRealKernelObjectsAgree) {
  const char* full = std::getenv("CHAOS_TEST_FULL");
  const unsigned sequences = full != nullptr && std::string(full) == "1" ? 500 : 40;
  for (std::uint64_t seed = 1; seed <= sequences; ++seed) {
    begin(seed);
    for (unsigned i = 0; i < 12; ++i) {
      step();
      if (!HasFatalFailure()) expect_equal(i % 4 == 3);
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
    }
    finish();
    if (HasFatalFailure()) FAIL() << "seed " << seed << ", at its end";
  }
  std::printf("[ MEASURED ] %u sequences: %u ran at once, %u waited, %u refused\n", sequences,
              outcomes_[PolicyModel::Outcome::kRuns], outcomes_[PolicyModel::Outcome::kWaits],
              outcomes_[PolicyModel::Outcome::kRefused]);
  EXPECT_GT(outcomes_[PolicyModel::Outcome::kRuns], sequences / 2);
  EXPECT_GT(outcomes_[PolicyModel::Outcome::kWaits], sequences / 10);
  EXPECT_GT(outcomes_[PolicyModel::Outcome::kRefused], sequences / 2);
}

}  // namespace
}  // namespace chaos::test
