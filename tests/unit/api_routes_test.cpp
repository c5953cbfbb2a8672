// The endpoints over real sockets.
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include "api_daemon.h"

namespace chaos::test {
namespace {

using nlohmann::json;

std::string me() {
  const passwd* entry = ::getpwuid(::getuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::getuid());
}

struct Routes : testing::Test {
  json get(std::string_view target) {
    const Reply reply = daemon.ask("GET", target);
    EXPECT_EQ(reply.status, 200) << target << ": " << reply.body;
    return json::parse(reply.body);
  }
  FakeDaemon daemon;
};

TEST_F(Routes, StartAnswersTheScenario) {
  const Reply reply = daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest);
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_EQ(reply.headers.at("location"), "/api/chaos/scenarios/" + full_scenario().id);
  EXPECT_EQ(json::parse(reply.body), to_json(full_scenario()));
  ASSERT_EQ(daemon.started.size(), 1U);
  EXPECT_EQ(daemon.started[0].kind, "packet_loss");
}

TEST_F(Routes, StartMayTakeItsTime) {
  daemon.late = true;
  RawClient client(daemon.path());
  client.send(request_text("POST", "/api/chaos/scenarios", FakeDaemon::kRequest));
  ASSERT_TRUE(daemon.thread().wait_until([this] { return daemon.kept.size() == 1; }));
  EXPECT_EQ(get("/health")["status"], "ok");
  daemon.thread().call([this] { daemon.kept[0](full_scenario()); });
  EXPECT_EQ(client.read_reply().status, 201);
}

TEST_F(Routes, EveryErrorClassHasItsStatus) {
  const std::vector<std::pair<Errc, int>> statuses = {
      {Errc::kInvalid, 400},     {Errc::kNotFound, 404}, {Errc::kDenied, 403},      {Errc::kRefused, 409},
      {Errc::kUnsupported, 501}, {Errc::kTooLarge, 413}, {Errc::kUnavailable, 503}, {Errc::kInternal, 500}};
  for (const auto& [code, status] : statuses) {
    daemon.thread().call([&, wanted = code] {
      daemon.refusal = Error{.code = wanted, .message = "m", .field = "f", .rule = "r", .hint = "h"};
    });
    const Reply reply = daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest);
    EXPECT_EQ(reply.status, status);
    EXPECT_EQ(reply.headers.at("content-type"), "application/problem+json");
    const json problem = json::parse(reply.body);
    EXPECT_EQ(problem["status"], status);
    EXPECT_EQ(problem["detail"], "m");
    EXPECT_EQ(problem["field"], "f");
    EXPECT_EQ(problem["rule"], "r");
    EXPECT_EQ(problem["hint"], "h");
    EXPECT_EQ(problem["request_id"], reply.headers.at("x-request-id"));
    EXPECT_TRUE(problem["type"].get<std::string>().starts_with("urn:chaosd:problem:"));
  }
}

TEST_F(Routes, BadBodiesReachNobody) {
  for (const char* body : {"{", "[]", "{}", R"({"kind": "packet_loss"})", R"({"kind": 7, "target": {"pid": 1}})",
                           R"({"kind": "k", "target": {"pid": 1}, "pid": 1})", "\xff"}) {
    for (const char* target : {"/api/chaos/scenarios", "/api/chaos/plan"}) {
      const Reply reply = daemon.ask("POST", target, body);
      EXPECT_EQ(reply.status, 400) << body;
      EXPECT_NE(json::parse(reply.body)["rule"], "") << body;
    }
  }
  EXPECT_EQ(daemon.ask("POST", "/api/chaos/scenarios").status, 400) << "no body";
  EXPECT_TRUE(daemon.started.empty());
}

TEST_F(Routes, PlanTellsWhetherItWouldBeAdmitted) {
  json plan = json::parse(daemon.ask("POST", "/api/chaos/plan", FakeDaemon::kRequest).body);
  EXPECT_EQ(plan["admitted"], true);
  EXPECT_FALSE(plan.contains("refusal"));
  daemon.thread().call([this] { daemon.refusal = Error{.code = Errc::kRefused, .message = "no", .rule = "radius"}; });
  const Reply reply = daemon.ask("POST", "/api/chaos/plan", FakeDaemon::kRequest);
  EXPECT_EQ(reply.status, 200);
  plan = json::parse(reply.body);
  EXPECT_EQ(plan["admitted"], false);
  EXPECT_EQ(plan["refusal"]["type"], "urn:chaosd:problem:refused");
  EXPECT_EQ(plan["scenario"]["kind"], "packet_loss");
  EXPECT_TRUE(daemon.started.empty());
}

TEST_F(Routes, StopsById) {
  const Reply reply = daemon.ask("POST", "/api/chaos/scenarios/ABC/stop");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(json::parse(reply.body)["id"], full_scenario().id);
  EXPECT_EQ(daemon.stopped, std::vector<std::string>{"ABC"});
  EXPECT_FALSE(daemon.dropped_in_flight);
  EXPECT_EQ(daemon.ask("POST", "/api/chaos/scenarios/ABC/stop", R"({"drop_in_flight": true})").status, 200);
  EXPECT_TRUE(daemon.dropped_in_flight);
  for (const char* body : {R"({"drop_in_flight": 1})", R"({"drop": true})", "x"}) {
    EXPECT_EQ(daemon.ask("POST", "/api/chaos/scenarios/ABC/stop", body).status, 400) << body;
  }
}

TEST_F(Routes, StopOfOneFromAnEarlierRunAnswersItsRecord) {
  daemon.thread().call([this] { daemon.refusal = Error{.code = Errc::kNotFound, .message = "not running"}; });
  const Reply known = daemon.ask("POST", "/api/chaos/scenarios/" + full_scenario().id + "/stop");
  EXPECT_EQ(known.status, 200);
  EXPECT_EQ(json::parse(known.body)["state"], "failed");
  EXPECT_EQ(daemon.ask("POST", "/api/chaos/scenarios/other/stop").status, 404);
}

TEST_F(Routes, EmergencyStopWorksWithAnyBody) {
  const Reply reply = daemon.ask("POST", "/api/chaos/emergency-stop", R"({"reason": "disk full"})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(json::parse(reply.body), (json{{"stopped", json::array({full_scenario().id})}, {"latched", true}}));
  EXPECT_EQ(daemon.ask("POST", "/api/chaos/emergency-stop").status, 200);
  for (const char* body : {"stop!!", R"({"reason": 7})", R"({"why": "x"})"}) {
    const Reply odd = daemon.ask("POST", "/api/chaos/emergency-stop", body);
    EXPECT_EQ(odd.status, 200) << body;
    EXPECT_EQ(json::parse(odd.body)["warnings"].size(), 1U) << body;
  }
  ASSERT_EQ(daemon.emergencies.size(), 5U);
  EXPECT_EQ(daemon.emergencies[0], "emergency stop by " + me() + ": disk full");
  EXPECT_EQ(daemon.emergencies[1], "emergency stop by " + me());
}

TEST_F(Routes, EmergencyStopIsNeverReplayed) {
  for (int i = 0; i < 2; ++i) daemon.ask("POST", "/api/chaos/emergency-stop", {}, {{"Idempotency-Key", "k"}});
  EXPECT_EQ(daemon.emergencies.size(), 2U);
}

TEST_F(Routes, RearmLiftsTheLatch) {
  EXPECT_EQ(json::parse(daemon.ask("POST", "/api/chaos/rearm").body), (json{{"latched", false}}));
  daemon.thread().call([this] { daemon.refusal = Error{.code = Errc::kRefused, .message = "still stopping"}; });
  EXPECT_EQ(daemon.ask("POST", "/api/chaos/rearm").status, 409);
}

TEST_F(Routes, ListsAndFinds) {
  EXPECT_EQ(get("/api/chaos/scenarios")["scenarios"].size(), 0U);
  EXPECT_EQ(get("/api/chaos/scenarios?all=false")["scenarios"].size(), 0U);
  EXPECT_EQ(get("/api/chaos/scenarios?all=true")["scenarios"].size(), 1U);
  EXPECT_EQ(get("/api/chaos/scenarios/" + full_scenario().id)["kind"], "packet_loss");
  const Reply none = daemon.ask("GET", "/api/chaos/scenarios/none");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(json::parse(none.body)["type"], "urn:chaosd:problem:not-found");
}

TEST_F(Routes, ReportsTheRest) {
  EXPECT_EQ(get("/api/chaos/kinds")["kinds"][0]["name"], "packet_loss");
  EXPECT_EQ(get("/api/chaos/kinds")["common_parameters"][0]["name"], "max_events");
  EXPECT_EQ(get("/api/chaos/features")["features"][0]["used_instead"], "clsact");
  EXPECT_EQ(get("/api/chaos/residue")["clean"], false);
  EXPECT_EQ(get("/api/log-level"), (json{{"level", "info"}}));
  EXPECT_EQ(json::parse(daemon.ask("POST", "/api/config/reload").body)["reloaded"], true);
}

TEST_F(Routes, ChangesTheLogLevel) {
  EXPECT_EQ(json::parse(daemon.ask("POST", "/api/log-level", R"({"level": "debug"})").body),
            (json{{"level", "debug"}}));
  for (const char* body : {R"({"level": "loud"})", R"({"level": 7})", "{}", "", R"({"level": "debug", "x": 1})"}) {
    EXPECT_EQ(daemon.ask("POST", "/api/log-level", body).status, 400) << body;
  }
  EXPECT_EQ(get("/api/log-level"), (json{{"level", "debug"}}));
}

TEST_F(Routes, AuditIsPaged) {
  EXPECT_EQ(get("/api/audit")["entries"][0]["seq"], 7);
  EXPECT_EQ(daemon.audit_page, std::pair(std::size_t{100}, std::int64_t{0}));
  get("/api/audit?limit=5&before=77");
  EXPECT_EQ(daemon.audit_page, std::pair(std::size_t{5}, std::int64_t{77}));
}

TEST_F(Routes, AuditEntriesShowTheirHash) {
  EXPECT_EQ(get("/api/audit")["entries"][0]["hash"], "ab" + std::string(62, '0'));
}

TEST_F(Routes, AuditIsVerified) {
  EXPECT_EQ(get("/api/audit/verify"), (json{{"ok", false},
                                            {"checked", 12},
                                            {"unchained", 3},
                                            {"head", "01fe" + std::string(60, '0')},
                                            {"problem", {{"seq", 13}, {"what", "altered"}}}}));
  daemon.thread().call([this] { daemon.verification->problem.reset(); });
  const json whole = get("/api/audit/verify");
  EXPECT_EQ(whole["ok"], true);
  EXPECT_FALSE(whole.contains("problem"));
  daemon.thread().call([this] { daemon.verification = fail(Errc::kUnavailable, "chaosd is shutting down"); });
  EXPECT_EQ(daemon.ask("GET", "/api/audit/verify").status, 503);
  EXPECT_EQ(daemon.ask("GET", "/api/audit/verify?from=1").status, 400);
}

TEST_F(Routes, RefusesBadQueries) {
  for (const char* target :
       {"/api/audit?limit=0", "/api/audit?limit=1001", "/api/audit?limit=x", "/api/audit?limit=", "/api/audit?before=0",
        "/api/audit?before=99999999999999999999", "/api/audit?limits=3", "/api/chaos/scenarios?all=yes",
        "/api/chaos/scenarios?all", "/health?verbose=1", "/api/events?last_event_id=-1", "/api/events?follow=maybe"}) {
    const Reply reply = daemon.ask("GET", target);
    EXPECT_EQ(reply.status, 400) << target;
    EXPECT_TRUE(json::parse(reply.body)["field"].get<std::string>().starts_with("query.")) << target;
  }
}

TEST_F(Routes, UnknownPathsAndMethods) {
  for (const char* target :
       {"/", "/api", "/api/chaos/scenarios/", "/api/chaos/scenarios/a/b/stop", "/HEALTH", "//health"}) {
    EXPECT_EQ(daemon.ask("GET", target).status, 404) << target;
  }
  const Reply wrong = daemon.ask("DELETE", "/api/chaos/scenarios");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, POST");
  EXPECT_EQ(json::parse(wrong.body)["type"], "urn:chaosd:problem:method-not-allowed");
  EXPECT_EQ(daemon.ask("GET", "/api/chaos/rearm").headers.at("allow"), "POST");
}

TEST_F(Routes, HandlerThatThrowsIsAnInternalError) {
  daemon.thread().call([this] { daemon.backend.health = []() -> json { throw std::runtime_error("boom"); }; });
  const Reply reply = daemon.ask("GET", "/health");
  EXPECT_EQ(reply.status, 500);
  EXPECT_NE(json::parse(reply.body)["detail"].get<std::string>().find("boom"), std::string::npos);
}

TEST_F(Routes, MutatingCallsAreAudited) {
  daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest);
  daemon.ask("POST", "/api/chaos/scenarios", "{");
  daemon.ask("POST", "/api/chaos/scenarios/ABC/stop");
  daemon.ask("POST", "/api/chaos/emergency-stop");
  daemon.ask("POST", "/api/chaos/rearm");
  daemon.ask("POST", "/api/log-level", R"({"level": "debug"})");
  daemon.ask("POST", "/api/config/reload");
  daemon.thread().call([this] { daemon.refusal = Error{.code = Errc::kRefused, .message = "over the radius"}; });
  daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest);
  daemon.ask("GET", "/health");
  daemon.ask("POST", "/api/chaos/plan", FakeDaemon::kRequest);

  const auto log = daemon.take_log();
  std::vector<std::string> actions;
  for (const auto& entry : log) actions.push_back(entry.action + " " + std::to_string(entry.status));
  EXPECT_EQ(actions, (std::vector<std::string>{"start_scenario 201", "start_scenario 400", "stop_scenario 200",
                                               "emergency_stop 200", "rearm 200", "set_log_level 200",
                                               "reload_config 200", "start_scenario 409"}));
  EXPECT_EQ(log[0].scenario_id, full_scenario().id);
  EXPECT_EQ(log[0].user, me());
  EXPECT_EQ(log[0].pid, ::getpid());
  EXPECT_EQ(log[0].socket, daemon.path());
  EXPECT_NE(log[0].detail.find("packet_loss on interface=eth0"), std::string::npos) << log[0].detail;
  EXPECT_NE(log[0].detail.find("reason=why"), std::string::npos) << log[0].detail;
  EXPECT_EQ(log[2].scenario_id, "ABC");
  EXPECT_NE(log[7].detail.find("over the radius"), std::string::npos);
  EXPECT_NE(log[7].detail.find("packet_loss on interface=eth0"), std::string::npos);
}

TEST_F(Routes, IdempotencyKeyStartsOnce) {
  const HeaderList key = {{"Idempotency-Key", "deploy-42"}};
  const Reply first = daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest, key);
  const Reply second = daemon.ask("POST", "/api/chaos/scenarios", FakeDaemon::kRequest, key);
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(second.status, 201);
  EXPECT_EQ(second.body, first.body);
  EXPECT_FALSE(first.headers.contains("idempotency-replayed"));
  EXPECT_EQ(second.headers.at("idempotency-replayed"), "true");
  EXPECT_EQ(daemon.started.size(), 1U);
  const Reply other = daemon.ask("POST", "/api/chaos/scenarios", R"({"kind": "k", "target": {"pid": 1}})", key);
  EXPECT_EQ(other.status, 422);
  EXPECT_EQ(json::parse(other.body)["type"], "urn:chaosd:problem:idempotency-key-reused");
}

TEST_F(Routes, ConcurrentDuplicatesStartOnce) {
  daemon.late = true;
  const std::string request =
      request_text("POST", "/api/chaos/scenarios", FakeDaemon::kRequest, {{"Idempotency-Key", "k"}});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(daemon.path()));
    clients.back()->send(request);
  }
  // The one that came first may be any of them; when a later request is answered, all are in.
  ASSERT_TRUE(daemon.thread().wait_until([this] { return daemon.kept.size() == 1; }));
  get("/health");
  clients[5]->close();
  daemon.thread().call([this] { daemon.kept[0](full_scenario()); });
  for (std::size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(i == 5 || clients[i]->read_reply().status == 201, true) << i;
  }
  EXPECT_EQ(daemon.started.size(), 1U);
}

TEST_F(Routes, EventsFollowAndResume) {
  RawClient first(daemon.path());
  first.send(request_text("GET", "/api/events"));
  const Reply head = first.read_reply();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-type"), "text/event-stream");
  first.read_until("retry: 2000\n\n");
  daemon.thread().call([this] { daemon.hub().publish("scenario", {{"state", "active"}}); });
  EXPECT_EQ(first.read_until("\n\n"), "id: 1\nevent: scenario\ndata: {\"state\":\"active\"}\n\n");
  first.close();

  daemon.thread().call([this] {
    for (int i = 2; i <= 4; ++i) daemon.hub().publish("scenario", {{"n", i}});
  });
  RawClient again(daemon.path());
  again.send(request_text("GET", "/api/events?last_event_id=1", {}, {{"Last-Event-ID", "2"}}));
  again.read_reply();
  const std::string missed = again.read_until("{\"n\":4}\n\n");
  EXPECT_EQ(missed.find("id: 2\n"), std::string::npos) << "the header wins";
  EXPECT_NE(missed.find("id: 3\n"), std::string::npos);

  RawClient odd(daemon.path());
  odd.send(request_text("GET", "/api/events", {}, {{"Last-Event-ID", "not-ours"}}));
  odd.read_reply();
  EXPECT_NE(odd.read_until("event: reset\ndata: {\"oldest\":1}\n\n").find("reset"), std::string::npos);
}

TEST_F(Routes, EventsWithoutFollowEnd) {
  daemon.thread().call([this] { daemon.hub().publish("scenario", {{"n", 1}}); });
  RawClient client(daemon.path());
  client.send(request_text("GET", "/api/events?follow=false"));
  client.read_reply();
  EXPECT_NE(client.read_until("never").find("{\"n\":1}"), std::string::npos);
  client.send(request_text("GET", "/health"));
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST_F(Routes, ManySubscribersAndClientsAtOnce) {
  std::vector<std::unique_ptr<RawClient>> followers;
  for (std::size_t i = 0; i < EventHub::kMaxSubscribers; ++i) {
    followers.push_back(std::make_unique<RawClient>(daemon.path()));
    followers.back()->send(request_text("GET", "/api/events"));
    ASSERT_EQ(followers.back()->read_reply().status, 200);
  }
  EXPECT_EQ(daemon.ask("GET", "/api/events").status, 503);
  daemon.thread().call([this] { daemon.hub().publish("e", {}); });
  for (auto& follower : followers) EXPECT_NE(follower->read_until("event: e").find("id: 1"), std::string::npos);
  followers.clear();
  EXPECT_TRUE(daemon.thread().wait_until([this] {
    daemon.hub().publish("e", {});
    return daemon.hub().subscribers() == 0;
  }));
}

}  // namespace
}  // namespace chaos::test
