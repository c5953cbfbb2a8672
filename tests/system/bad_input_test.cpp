// Bad input, generated per field (bad_requests.h): the right status, a message with field and rule, nothing changed.
#include <filesystem>
#include <memory>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/timings.h"
#include "system/bad_requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;

constexpr const char* kStart = "/api/chaos/scenarios";
constexpr const char* kPlan = "/api/chaos/plan";

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("bad");
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, default_duration: 30, safety_timeout: "
        "600}\n";
    daemon_ = std::make_unique<Daemon>(setup);
    good_ = total_loss(net_->left, "5s");
    // One that has ended and one that runs, so that there is a state that could change.
    daemon_->stop_scenario(id_of(daemon_->run_scenario(good_)));
    json running = total_loss(net_->right, "10m");
    running["target"]["port"] = "9";
    (void)daemon_->run_scenario(running);
    openapi_ = daemon_->get("/openapi.json").body;
    kinds_ = daemon_->get("/api/chaos/kinds").body;
    before_ = snapshot();
  }
  void TearDown() override {
    daemon_.reset();
    net_.reset();
  }

  /// The daemon's state as it tells it, without what traffic moves; and the kernel's objects.
  [[nodiscard]] json snapshot() const {
    json state = daemon_->get(std::string(kStart) + "?all=true").body.at("scenarios");
    for (json& scenario : state) {
      for (const char* moving : {"counters", "achieved", "warnings"}) scenario.erase(moving);
    }
    const BpfObjects objects = bpf_objects_of(daemon_->pid());
    json health = daemon_->get("/health").body;
    return {{"scenarios", state},
            {"links", objects.links},
            {"programs", objects.programs},
            {"maps", objects.maps},
            {"latched", health.at("latched")},
            {"armed", health.at("armed")},
            {"level", daemon_->get("/api/log-level").body}};
  }
  void expect_unchanged() const {
    ASSERT_TRUE(daemon_->running());
    EXPECT_EQ(snapshot(), before_);
  }
  static void expect_problem(const Response& response, const BadRequest& bad, const std::string& where) {
    const std::string context = where + ", " + bad.what + ": " + response.text;
    EXPECT_EQ(response.status, bad.status) << context;
    ASSERT_TRUE(response.body.is_object()) << context;
    EXPECT_EQ(response.body.value("field", ""), bad.field) << context;
    EXPECT_FALSE(response.body.value("detail", "").empty()) << context;
    EXPECT_FALSE(response.body.value("title", "").empty()) << context;
    EXPECT_EQ(response.body.value("status", 0), bad.status) << context;
    // A thing that is not there breaks no rule.
    EXPECT_TRUE(bad.status == 404 || !response.body.value("rule", "").empty()) << context;
  }
  void expect_refused(const std::vector<BadRequest>& requests, const std::vector<std::string>& paths) const {
    ASSERT_FALSE(requests.empty());
    for (const std::string& path : paths) {
      for (const BadRequest& bad : requests) expect_problem(daemon_->post(path, bad.body), bad, path);
    }
    report_figure("bad requests made", static_cast<double>(requests.size() * paths.size()), "");
    expect_unchanged();
  }
  [[nodiscard]] const json& schema(const std::string& name) const {
    return openapi_.at("components").at("schemas").at(name);
  }
  [[nodiscard]] std::vector<BadRequest> bad_scenarios() const {
    std::vector<BadRequest> all = bad_by_schema(schema("ScenarioRequest"), good_);
    for (const json& kind : kinds_.at("kinds")) {
      for (auto& list : {bad_parameters(kind, kinds_.at("common_parameters"), good_), bad_targets(kind, good_)}) {
        all.insert(all.end(), list.begin(), list.end());
      }
    }
    return all;
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
  json good_;
  json openapi_;
  json kinds_;
  json before_;
};

TEST_F(BadInput, ScenarioFields) { expect_refused(bad_by_schema(schema("ScenarioRequest"), good_), {kStart, kPlan}); }

TEST_F(BadInput, KindParameters) {
  for (const json& kind : kinds_.at("kinds")) {
    expect_refused(bad_parameters(kind, kinds_.at("common_parameters"), good_), {kStart, kPlan});
  }
}

TEST_F(BadInput, Targets) {
  for (const json& kind : kinds_.at("kinds")) expect_refused(bad_targets(kind, good_), {kStart, kPlan});
}

TEST_F(BadInput, LogLevelFields) {
  expect_refused(bad_by_schema(schema("LogLevel"), {{"level", "info"}}), {"/api/log-level"});
}

TEST_F(BadInput, BodiesThatAreNoJson) {
  for (const char* path : {kStart, kPlan, "/api/log-level"}) {
    for (const char* body : {" ", "{", "{\"kind\": \"packet_loss\",}", "kind=packet_loss", "{\"kind\": \"\xff\"}"}) {
      expect_problem(http(daemon_->socket(), "POST", path, body), {body, {}, 400, ""}, path);
    }
    expect_problem(http(daemon_->socket(), "POST", path, R"({"kind": "a", "kind": "b"})"), {"twice", {}, 400, "kind"},
                   path);
    // Without a body, the first field that must be there is missing.
    EXPECT_EQ(http(daemon_->socket(), "POST", path, "").status, 400);
    const std::string deep = std::string(1000, '[') + std::string(1000, ']');
    expect_problem(http(daemon_->socket(), "POST", path, deep), {"deep", {}, 400, ""}, path);
  }
  expect_unchanged();
}

TEST_F(BadInput, LimitsAreNamedByStartAndPlan) {
  json body = good_;
  body["duration"] = "601s";
  const Response start = daemon_->post(kStart, body);
  expect_problem(start, {"duration above safety_timeout", body, 409, "duration"}, kStart);
  EXPECT_EQ(start.body.value("rule", ""), "chaos_testing.safety_timeout");
  const Response plan = daemon_->post(kPlan, body);
  EXPECT_EQ(plan.status, 200) << plan.text;
  EXPECT_EQ(plan.body.value("admitted", true), false) << plan.text;
  EXPECT_EQ(plan.body.at("refusal").value("field", ""), "duration") << plan.text;
  EXPECT_EQ(plan.body.at("refusal").value("rule", ""), "chaos_testing.safety_timeout") << plan.text;
  expect_unchanged();
}

TEST_F(BadInput, QueriesPathsAndMethods) {
  const std::string missing = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  for (const auto& [pattern, methods] : openapi_.at("paths").items()) {
    std::string path = pattern;
    if (const auto at = path.find("{id}"); at != std::string::npos) path.replace(at, 4, missing);
    expect_problem(http(daemon_->socket(), "DELETE", path), {"wrong method", {}, 405, ""}, path);
    if (!methods.contains("get")) continue;
    expect_problem(daemon_->get(path + "?nonsense=1"), {"unknown query", {}, 400, "query.nonsense"}, path);
    const json parameters = methods.at("get").value("parameters", json::array());
    const bool of_a_metric =
        std::ranges::any_of(parameters, [](const json& one) { return one.at("name") == "metric"; });
    for (const json& parameter : parameters) {
      const auto name = parameter.at("name").get<std::string>();
      if (parameter.at("in") != "query") continue;
      const std::string query =
          path + "?" + (of_a_metric && name != "metric" ? "metric=chaosd_armed&" : "") + name + "=";
      for (const std::string value : {"nonsense", "-1", ""}) {
        // A pattern may fit nothing, or, when it is empty, everything.
        if (name == "pattern") continue;
        // A name may be any text: there is just no metric of that name.
        const int status = name == "metric" && !value.empty() ? 404 : 400;
        expect_problem(daemon_->get(query + value), {name + "=" + value, {}, status, "query." + name}, path);
      }
    }
  }
  expect_problem(daemon_->get("/no/such/path"), {"unknown path", {}, 404, ""}, "");
  expect_problem(daemon_->get(std::string(kStart) + "/" + missing), {"unknown id", {}, 404, "id"}, "");
  expect_problem(daemon_->post(std::string(kStart) + "/" + missing + "/stop"), {"unknown id", {}, 404, "id"}, "");
  expect_problem(http(daemon_->socket(), "POST", kStart, good_.dump(), {"Idempotency-Key: " + std::string(256, 'k')}),
                 {"long key", {}, 400, "Idempotency-Key"}, kStart);
  expect_unchanged();
}

TEST_F(BadInput, CommandLine) {
  const std::string ctl = CHAOS_BIN_DIR "/chaosctl";
  ASSERT_TRUE(std::filesystem::exists(ctl)) << "chaosctl is not built";
  const std::map<int, int> exits{{400, 2}, {404, 3}, {409, 6}, {501, 6}};
  unsigned made = 0;
  for (const BadRequest& bad : bad_scenarios()) {
    const auto arguments = as_arguments(bad.body);
    if (!arguments) continue;
    ++made;
    const char* verb = made % 2 == 0 ? "start" : "plan";
    const std::string line = ctl + " --socket " + daemon_->socket() + " -o json " + verb + *arguments;
    const Outcome outcome = try_shell(line);
    const std::string context = bad.what + ": " + line + "\n" + outcome.output;
    EXPECT_EQ(outcome.status, exits.at(bad.status)) << context;
    const json problem = json::parse(outcome.output, nullptr, false);
    ASSERT_TRUE(problem.is_object()) << context;
    EXPECT_FALSE(problem.value("detail", "").empty()) << context;
    // What the command line itself refuses (an option that it does not know, say) is named in the message alone.
    std::string said = problem.value("field", "") + " " + problem.value("detail", "");
    std::ranges::transform(said, said.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    EXPECT_TRUE(said.contains(bad.field.substr(bad.field.find('.') + 1))) << context;
  }
  report_figure("bad command lines tried", made, "");
  EXPECT_GT(made, 40U);
  expect_unchanged();
}

}  // namespace
}  // namespace chaos::test
