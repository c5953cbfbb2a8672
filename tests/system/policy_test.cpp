// The hand on the brake as users of a running daemon meet it: limits that refuse, the queue, reloads under active
// scenarios, services, the stop file. Each test names the configuration that it runs with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/child.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::unique_ptr<Daemon> daemon_with(const std::string& config) {
  Daemon::Setup setup;
  setup.config = config;
  return std::make_unique<Daemon>(std::move(setup));
}

json loss_on(const Namespace& ns, const std::string& duration = "60s") {
  return {{"kind", "packet_loss"},
          {"target", {{"netns", ns.name()}, {"interface", "lo"}}},
          {"parameters", {{"probability", "10%"}}},
          {"duration", duration}};
}

std::string state_of(const Daemon& daemon, const std::string& id) { return daemon.scenario(id).value("state", ""); }

bool becomes(const Daemon& daemon, const std::string& id, const std::string& state) {
  return eventually([&] { return state_of(daemon, id) == state; });
}

/// A process that does nothing in a namespace, known by its pid file.
class Resident {
 public:
  Resident(const Namespace& ns, const std::filesystem::path& pid_file)
      : child_("/usr/bin/nsenter", {"nsenter", "--net=/run/netns/" + ns.name(), "sleep", "1000"}) {
    // Until it has entered, it lives in the namespace of the test.
    entered_ = eventually([&] {
      return try_shell("test \"$(cat /proc/" + std::to_string(child_.pid()) + "/comm)\" = sleep").status == 0;
    });
    std::ofstream(pid_file) << child_.pid() << '\n';
  }
  [[nodiscard]] bool entered() const { return entered_; }
  [[nodiscard]] pid_t pid() const { return child_.pid(); }

 private:
  Child child_;
  bool entered_ = false;
};

class Policy : public ::testing::Test {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
  const TempDir files_;
};

TEST_F(Policy, FourthWaitsAndStartsInItsTurn) {
  const Namespace a("q-a");
  const Namespace b("q-b");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 2, blast_radius_limit: 1}\n");
  const std::string first = id_of(daemon->run_scenario(loss_on(a)));
  const std::string second = id_of(daemon->run_scenario(loss_on(b, "90s")));
  const json third = daemon->run_scenario(loss_on(a));
  const json fourth = daemon->run_scenario(loss_on(b));
  EXPECT_EQ(third.value("state", ""), "queued");
  EXPECT_EQ(third.value("queue_position", 0), 1);
  EXPECT_EQ(fourth.value("queue_position", 0), 2);
  EXPECT_EQ(third.value("expected_start_at", "x").substr(0, 19),
            daemon->scenario(first).value("ends_at", "y").substr(0, 19));
  EXPECT_FALSE(third.contains("started_at"));
  EXPECT_EQ(daemon->get("/health").body.value("queued", 0), 2);
  EXPECT_EQ(daemon->get("/health").body.value("active", 0), 2);

  (void)daemon->stop_scenario(second);
  EXPECT_TRUE(becomes(*daemon, id_of(third), "active")) << daemon->log();
  EXPECT_EQ(daemon->scenario(id_of(fourth)).value("queue_position", 0), 1);
  EXPECT_EQ(attached_programs(a, "lo"), 1U);
  const json entries = daemon->get("/api/audit").body.at("entries");
  EXPECT_TRUE(std::ranges::any_of(entries, [&](const json& entry) {
    return entry.value("action", "") == "arm_scenario" && entry.value("scenario_id", "") == id_of(third);
  })) << "its start is not on record";
}

TEST_F(Policy, CancelledInTheQueueItNeverActs) {
  const Namespace a("c-a");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n");
  const std::string first = id_of(daemon->run_scenario(loss_on(a)));
  const std::string waits = id_of(daemon->run_scenario(loss_on(a)));
  const json cancelled = daemon->stop_scenario(waits);
  EXPECT_EQ(cancelled.value("state", ""), "aborted");
  EXPECT_EQ(cancelled.value("end_reason", ""), "stopped");
  (void)daemon->stop_scenario(first);
  EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon->pid()).links.empty(); }));
  EXPECT_FALSE(daemon->scenario(waits).contains("started_at"));
}

TEST_F(Policy, WaitingEndsByItself) {
  const Namespace a("e-a");
  const auto daemon =
      daemon_with("chaos_testing: {max_concurrent_scenarios: 1, queue_timeout: 200ms, blast_radius_limit: 1}\n");
  (void)daemon->run_scenario(loss_on(a));
  const std::string waits = id_of(daemon->run_scenario(loss_on(a)));
  const json record = wait_for_end(*daemon, waits);
  EXPECT_EQ(record.value("state", ""), "aborted");
  EXPECT_EQ(record.value("end_reason", ""), "expired");
}

TEST_F(Policy, FullQueueRefuses) {
  const Namespace a("f-a");
  const auto daemon =
      daemon_with("chaos_testing: {max_concurrent_scenarios: 1, queue_limit: 1, blast_radius_limit: 1}\n");
  (void)daemon->run_scenario(loss_on(a));
  (void)daemon->run_scenario(loss_on(a));
  const Response refused = daemon->post("/api/chaos/scenarios", loss_on(a));
  EXPECT_EQ(refused.status, 409) << refused.text;
  EXPECT_EQ(refused.body.value("rule", ""), "chaos_testing.queue_limit");
}

TEST_F(Policy, TargetThatGoesWhileItWaitsEndsIt) {
  const Namespace a("g-a");
  auto gone = std::make_unique<Namespace>("g-b");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n");
  const std::string first = id_of(daemon->run_scenario(loss_on(a)));
  const std::string waits = id_of(daemon->run_scenario(loss_on(*gone)));
  gone.reset();
  (void)daemon->stop_scenario(first);
  const json record = wait_for_end(*daemon, waits);
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_EQ(record.value("end_reason", ""), "target_gone");
  EXPECT_FALSE(record.value("error", "").empty());
}

TEST_F(Policy, EmergencyStopEmptiesTheQueue) {
  const Namespace a("s-a");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n");
  const std::string first = id_of(daemon->run_scenario(loss_on(a)));
  const std::string waits = id_of(daemon->run_scenario(loss_on(a)));
  const Response answer = daemon->post("/api/chaos/emergency-stop");
  EXPECT_EQ(answer.body.at("stopped").size(), 2U) << answer.text;
  for (const std::string& id : {first, waits}) {
    const json record = wait_for_end(*daemon, id);
    EXPECT_EQ(record.value("state", ""), "aborted");
    EXPECT_EQ(record.value("end_reason", ""), "emergency_stop");
  }
  EXPECT_FALSE(daemon->scenario(waits).contains("started_at"));
  ASSERT_TRUE(eventually([&] { return daemon->post("/api/chaos/rearm").status == 200; }));
  EXPECT_TRUE(daemon->get("/api/chaos/scenarios").body.at("scenarios").empty());
}

TEST_F(Policy, QueueDoesNotSurviveARestartAndSaysSo) {
  const Namespace a("r-a");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n");
  (void)daemon->run_scenario(loss_on(a));
  const json waiting = daemon->run_scenario(loss_on(a));
  EXPECT_THAT(waiting.at("warnings").dump(), HasSubstr("does not survive a restart"));
  daemon->signal(SIGKILL);
  (void)daemon->wait();
  daemon->start();
  const json record = daemon->scenario(id_of(waiting));
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_TRUE(daemon->get("/api/chaos/scenarios").body.at("scenarios").empty());
}

TEST_F(Policy, BlastRadiusOfServices) {
  const Namespace one("b-one");
  const Namespace two("b-two");
  const Namespace own("b-own");
  const std::filesystem::path one_file = files_.path() / "one.pid";
  const std::filesystem::path two_file = files_.path() / "two.pid";
  const Resident first(one, one_file);
  const Resident second(two, two_file);
  ASSERT_TRUE(first.entered() && second.entered());
  const auto daemon = daemon_with(
      "chaos_testing: {max_concurrent_scenarios: 8, blast_radius_limit: 0.5}\nservices:\n  one: {pid_file: " +
      one_file.string() + ", ports: [80]}\n  two: {pid_file: " + two_file.string() +
      ", weight: 2}\n  three: {process: chaos-no-such}\n");

  const json services = daemon->get("/api/services").body.at("services");
  ASSERT_EQ(services.size(), 3U) << services.dump(1);
  EXPECT_EQ(services[0].value("name", ""), "one");
  EXPECT_EQ(services[0].at("pids"), json({first.pid()}));
  EXPECT_EQ(services[1].value("running", true), false);
  EXPECT_FALSE(services[1].value("problem", "").empty());

  // Of 4: one is 1, two is 2, and a namespace of its own 1 of 5.
  const json started = daemon->run_scenario(loss_on(one));
  EXPECT_EQ(started.at("plan").at("touches"), json({"service one"})) << started.dump(1);
  EXPECT_EQ(started.at("plan").value("blast_radius", ""), "0.25");
  const Response refused = daemon->post("/api/chaos/scenarios", loss_on(two));
  EXPECT_EQ(refused.status, 409) << refused.text;
  EXPECT_EQ(refused.body.value("rule", ""), "chaos_testing.blast_radius_limit");
  EXPECT_THAT(refused.body.value("detail", ""), HasSubstr("0.75 of configured services, above the limit of 0.50"));
  EXPECT_THAT(refused.body.value("hint", ""), HasSubstr("0.25 is taken"));
  EXPECT_EQ(attached_programs(two, "lo"), 0U);
  // 2 of 5.
  const json other = daemon->run_scenario(loss_on(own));
  EXPECT_EQ(other.at("plan").value("blast_radius", ""), "0.20");
  const json touched = daemon->get("/api/services").body.at("services")[0].at("touched_by");
  EXPECT_EQ(touched, json({id_of(started)}));

  (void)daemon->stop_scenario(id_of(started));
  (void)daemon->stop_scenario(id_of(other));
  EXPECT_EQ(daemon->run_scenario(loss_on(two)).at("plan").value("blast_radius", ""), "0.50");
}

TEST_F(Policy, WithoutServicesTheUnitsOfTheHostAreThePopulation) {
  const Namespace own("u-own");
  const auto daemon = daemon_with("chaos_testing: {blast_radius_limit: 1}\n");
  const Response plan = daemon->post("/api/chaos/plan", loss_on(own));
  ASSERT_EQ(plan.status, 200) << plan.text;
  // Counted by ps, not by chaosd: distinct units, or else cgroups, of all processes that have memory.
  const std::string count = shell(
      "for p in /proc/[0-9]*; do grep -q VmSize $p/status 2>/dev/null && cat $p/cgroup 2>/dev/null | "
      "awk -F: '{ if ($3 != \"/\") { if ($2 == \"\") v = $3; else if ($2 == \"name=systemd\") s = $3; else if (o == "
      "\"\") o = $3 } } END { p = v ? v : s ? s : o ? o : \"/\"; n = split(p, a, \"/\"); u = p; for (i = n; i > 0; "
      "--i) if (a[i] ~ /\\.(service|scope)$/) { u = a[i]; break }; print u }'; done | sort -u | wc -l");
  const double units = std::stod(count);
  const std::string share = plan.body.at("scenario").at("plan").value("blast_radius", "");
  EXPECT_NEAR(std::stod(share), 1.0 / (units + 1), 0.006) << units << " units";
}

TEST_F(Policy, WhatIsProtectedMakesItsNamespaceNoTarget) {
  const Namespace home("p-home");
  const std::filesystem::path file = files_.path() / "x.pid";
  const Resident resident(home, file);
  ASSERT_TRUE(resident.entered());
  const auto daemon = daemon_with("chaos_testing: {blast_radius_limit: 1}\nprotect: {uids: [0]}\n");
  const Response refused = daemon->post("/api/chaos/scenarios", loss_on(home));
  EXPECT_EQ(refused.status, 409) << refused.text;
  EXPECT_EQ(refused.body.value("rule", ""), "protect");
  EXPECT_THAT(refused.body.value("detail", ""), HasSubstr("uid 0"));
  const Namespace empty("p-empty");
  (void)daemon->run_scenario(loss_on(empty));
}

TEST_F(Policy, HoursReasonAndSeverity) {
  const Namespace a("h-a");
  const auto daemon = daemon_with("chaos_testing: {blast_radius_limit: 1, require_reason_above_severity: 2}\n");
  json request = loss_on(a);
  request.erase("parameters");
  request["severity"] = 3;
  EXPECT_EQ(daemon->post("/api/chaos/scenarios", request).body.value("rule", ""),
            "chaos_testing.require_reason_above_severity");
  request["severity"] = 2;
  (void)daemon->stop_scenario(id_of(daemon->run_scenario(request)));
  // 10% is the preset of severity 3.
  EXPECT_EQ(daemon->post("/api/chaos/scenarios", loss_on(a)).body.value("rule", ""),
            "chaos_testing.require_reason_above_severity");
  json with_reason = loss_on(a);
  with_reason["reason"] = "a drill";
  (void)daemon->stop_scenario(id_of(daemon->run_scenario(with_reason)));

  // A window of one hour that is not now, then one that is.
  for (const int hours_away : {12, 0}) {
    const auto hour_in = [](int hours) {
      return shell("date -u -d '" + std::to_string(hours) + " hours' +%H:00").substr(0, 5);
    };
    const std::string window = hour_in(hours_away) + "-" + hour_in(hours_away + 2);
    daemon->write_config("chaos_testing: {blast_radius_limit: 1, allowed_hours: {time_zone: UTC, windows: [\"" +
                         window + "\"]}}\n");
    ASSERT_EQ(daemon->post("/api/config/reload").status, 200);
    const Response answer = daemon->post("/api/chaos/scenarios", loss_on(a));
    EXPECT_EQ(answer.status, hours_away == 0 ? 201 : 409) << window << answer.text;
    EXPECT_EQ(answer.body.value("rule", ""), hours_away == 0 ? "" : "chaos_testing.allowed_hours");
  }
}

TEST_F(Policy, KindsShowTheScaleOfTheConfiguration) {
  const Namespace a("k-a");
  const auto daemon = daemon_with(
      "chaos_testing:\n  blast_radius_limit: 1\n  max_severity: 4\n  scenarios:\n    packet_loss:\n      severity: "
      "{probability: [2%, 4%, 6%]}\n      severity_levels: [1, 4, 5]\n");
  const json kind = daemon->get("/api/chaos/kinds").body.at("kinds").at(0);
  EXPECT_EQ(kind.at("policy").at("severity_levels"), json({1, 4}));
  EXPECT_EQ(kind.at("parameters")[0].at("severity"),
            json({{"1", "2%"}, {"2", "2%"}, {"3", "4%"}, {"4", "6%"}, {"5", "6%"}}));
  json request = loss_on(a);
  request.erase("parameters");
  request["severity"] = 4;
  const json started = daemon->run_scenario(request);
  EXPECT_EQ(started.at("plan").at("parameters").value("probability", ""), "6%");
  request["severity"] = 5;
  EXPECT_EQ(daemon->post("/api/chaos/scenarios", request).status, 409);
}

TEST_F(Policy, ReloadKeepsOrEndsWhatNoLongerFits) {
  const Namespace a("l-a");
  const Namespace b("l-b");
  const auto daemon = daemon_with("chaos_testing: {blast_radius_limit: 1}\n");
  const std::string older = id_of(daemon->run_scenario(loss_on(a)));
  const std::string younger = id_of(daemon->run_scenario(loss_on(b)));
  daemon->write_config("chaos_testing: {blast_radius_limit: 1, max_concurrent_scenarios: 1}\n");
  const Response kept = daemon->post("/api/config/reload");
  ASSERT_EQ(kept.status, 200) << kept.text;
  ASSERT_EQ(kept.body.at("no_longer_fit").size(), 1U) << kept.text;
  EXPECT_EQ(kept.body.at("no_longer_fit")[0].value("id", ""), younger);
  EXPECT_EQ(kept.body.at("no_longer_fit")[0].value("action", ""), "kept");
  EXPECT_EQ(kept.body.at("no_longer_fit")[0].value("rule", ""), "chaos_testing.max_concurrent_scenarios");
  EXPECT_EQ(state_of(*daemon, younger), "active");
  EXPECT_THAT(daemon->scenario(younger).at("warnings").dump(), HasSubstr("no longer fits"));

  daemon->write_config(
      "chaos_testing:\n  blast_radius_limit: 1\n  on_reload: end\n  scenarios: {packet_loss: {bounds: {probability: "
      "{max: 5%}}}}\n");
  const Response ended = daemon->post("/api/config/reload");
  ASSERT_EQ(ended.body.at("no_longer_fit").size(), 2U) << ended.text;
  for (const std::string& id : {older, younger}) {
    const json record = wait_for_end(*daemon, id);
    EXPECT_EQ(record.value("state", ""), "aborted");
    EXPECT_EQ(record.value("end_reason", ""), "limit");
  }
  EXPECT_EQ(attached_programs(a, "lo"), 0U);
}

TEST_F(Policy, RaisedLimitLetsTheQueueMove) {
  const Namespace a("m-a");
  const auto daemon = daemon_with("chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n");
  (void)daemon->run_scenario(loss_on(a));
  const std::string waits = id_of(daemon->run_scenario(loss_on(a)));
  daemon->write_config("chaos_testing: {max_concurrent_scenarios: 2, blast_radius_limit: 1}\n");
  ASSERT_EQ(daemon->post("/api/config/reload").status, 200);
  EXPECT_TRUE(becomes(*daemon, waits, "active"));
}

TEST_F(Policy, StopFileOfARunningDaemon) {
  const Namespace a("t-a");
  const auto daemon = daemon_with("chaos_testing: {blast_radius_limit: 1}\n");
  const std::string id = id_of(daemon->run_scenario(loss_on(a)));
  std::ofstream(daemon->runtime_dir() / "STOP") << "by hand\n";
  EXPECT_EQ(wait_for_end(*daemon, id).value("end_reason", ""), "emergency_stop");
  EXPECT_TRUE(daemon->get("/health").body.value("latched", false));
  ASSERT_TRUE(eventually([&] { return daemon->post("/api/chaos/rearm").status == 200; }));
  EXPECT_FALSE(std::filesystem::exists(daemon->runtime_dir() / "STOP"));
  (void)daemon->run_scenario(loss_on(a));
}

TEST_F(Policy, ServicesComeAndGoAsEvents) {
  const Namespace home("w-home");
  const std::filesystem::path file = files_.path() / "x.pid";
  const auto daemon =
      daemon_with("monitoring: {metrics_interval: 100ms}\nservices: {x: {pid_file: " + file.string() + "}}\n");
  const auto events = [&] { return daemon->get("/api/events?last_event_id=0&follow=false").text; };
  ASSERT_TRUE(eventually([&] { return !daemon->get("/api/services").body.at("services").empty(); }));
  {
    const Resident resident(home, file);
    ASSERT_TRUE(resident.entered());
    EXPECT_TRUE(eventually([&] { return events().contains("\"change\":\"started\""); })) << events();
  }
  EXPECT_TRUE(eventually([&] { return events().contains("\"change\":\"stopped\""); })) << events();
}

}  // namespace
}  // namespace chaos::test
