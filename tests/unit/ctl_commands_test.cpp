// The commands against a fake daemon: what they send, print, and exit with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/problem.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kClean = R"({"clean":true,"residue":[]})";
constexpr std::string_view kDirty =
    R"({"clean":false,"residue":[{"class":"link","id":"17","detail":"tcx egress of eth1"}]})";
constexpr std::string_view kRefusal =
    R"({"title":"Refused","status":409,"detail":"over the blast radius","rule":"share 0.33 > 0.3","hint":"fewer"})";

class CtlCommands : public FakeDaemonTest {
 protected:
  const std::string scenario_path_ = "/api/chaos/scenarios/" + std::string(kScenarioId);
};

TEST_F(CtlCommands, StartSendsWhatWasAskedAsText) {
  answer("POST /api/chaos/scenarios", scenario_body("active"), 201);
  const Ran ran = run({"start",
                       "packet_loss",
                       "--target",
                       "interface=eth1",
                       "--target",
                       "port=80",
                       "--target",
                       "port=443",
                       "-p",
                       "probability=10%",
                       "--set",
                       "max_events=[5]",
                       "--severity",
                       "2",
                       "--duration",
                       "5m",
                       "--seed",
                       "18446744073709551615",
                       "--reason",
                       "drill, with = and ü",
                       "--shadow",
                       "--validate",
                       "--confirm-default-route",
                       "--idempotency-key",
                       "key-1"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_EQ(sent_to("/api/chaos/scenarios"),
            Json::parse(R"({"kind":"packet_loss","target":{"interface":"eth1","port":["80","443"]},
                            "parameters":{"probability":"10%","max_events":"[5]"},"severity":2,"duration":"5m",
                            "seed":"18446744073709551615","reason":"drill, with = and ü","mode":"shadow",
                            "validate":true,"confirm_default_route":true})"));
  EXPECT_THAT(daemon_.last("/api/chaos/scenarios").head, HasSubstr("Idempotency-Key: key-1\r\n"));
}

TEST_F(CtlCommands, StartSendsNothingThatWasNotAsked) {
  answer("POST /api/chaos/scenarios", scenario_body("active"), 201);
  EXPECT_EQ(run({"start", "packet_loss", "--target", "peer=a=b"}).exit, 0);
  EXPECT_EQ(sent_to("/api/chaos/scenarios"),
            Json::parse(R"({"kind":"packet_loss","target":{"peer":"a=b"},"parameters":{}})"));
  EXPECT_THAT(daemon_.last("/api/chaos/scenarios").head, Not(HasSubstr("Idempotency-Key")));
}

TEST_F(CtlCommands, StartSaysWhatIsTouchedWhenItEndsAndHowToStopIt) {
  answer("POST /api/chaos/scenarios", scenario_body("active"), 201);
  const Ran ran = run({"start", "packet_loss", "--target", "interface=eth1"});
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Started 01J8Z3Q4R5S6T7V8W9XAYBZCDE  packet_loss  active\n"),
                             HasSubstr("eth1 (ifindex 5)"), HasSubstr("10.0.0.2/32"), HasSubstr("probability=10%"),
                             HasSubstr("the kernel removes it when chaosd dies"), HasSubstr("n1"), HasSubstr("w1"),
                             HasSubstr("ends by itself "), HasSubstr("2026-11-24T06:39:37.100Z")));
  EXPECT_THAT(ran.out, HasSubstr("chaosctl --socket " + daemon_.socket() + " stop " + std::string(kScenarioId)));
}

TEST_F(CtlCommands, AQueuedStartIsDone) {
  answer("POST /api/chaos/scenarios",
         R"({"id":"X","state":"queued","kind":"packet_loss","queue_position":2,"duration":"5m"})", 201);
  const Ran ran = run({"start", "packet_loss"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Queued X"), HasSubstr("position 2"), HasSubstr("lasts 5m once it acts")));
}

TEST_F(CtlCommands, StartPassesRefusalsOnWithTheirExitCode) {
  const std::pair<int, int> cases[] = {{400, 2}, {422, 2}, {404, 3}, {403, 4}, {409, 6}, {501, 6}, {500, 1}};
  for (const auto& [status, exit] : cases) {
    answer("POST /api/chaos/scenarios", R"({"detail":"because","field":"target.peer","hint":"do that"})", status);
    const Ran ran = run({"start", "packet_loss"});
    EXPECT_EQ(ran.exit, exit) << status;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "chaosctl: because\n  field: target.peer\n  hint: do that\n");
  }
}

TEST_F(CtlCommands, PlanTellsWhatStartWouldDo) {
  answer("POST /api/chaos/plan", R"({"admitted":true,"scenario":)" + scenario_body("queued") + "}");
  const Ran admitted = run({"plan", "packet_loss", "--target", "interface=eth1"});
  EXPECT_EQ(admitted.exit, 0);
  EXPECT_THAT(admitted.out, AllOf(HasSubstr("would be admitted"), HasSubstr("eth1 (ifindex 5)")));

  answer("POST /api/chaos/plan",
         R"({"admitted":false,"refusal":)" + std::string(kRefusal) + R"(,"scenario":)" + scenario_body("queued") + "}");
  const Ran refused = run({"plan", "packet_loss"});
  EXPECT_EQ(refused.exit, 6);
  EXPECT_THAT(refused.out, HasSubstr("would be refused"));
  EXPECT_THAT(refused.err, HasSubstr("rule: share 0.33 > 0.3"));
}

TEST_F(CtlCommands, ListShowsWholeIdsAndSaysWhenThereIsNothing) {
  answer("GET /api/chaos/scenarios", R"({"scenarios":[)" + scenario_body("active") + "]}");
  answer("GET /api/chaos/scenarios?all=true", R"({"scenarios":[]})");
  const Ran ran = run({"list"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr(kScenarioId), HasSubstr("interface=eth1 port=80,443"), HasSubstr("root")));
  EXPECT_EQ(run({"list", "--all"}).out, "No scenarios on record.\n");
}

TEST_F(CtlCommands, ShowPrintsPlanParametersAndCountersThatClose) {
  answer("GET " + scenario_path_, scenario_body("completed", "expired"));
  const Ran ran = run({"show", std::string(kScenarioId)});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("completed (expired)"), HasSubstr("drill"),
                             HasSubstr("root (uid 0), logged in as uid 1000, by chaosctl"),
                             HasSubstr("probability=10%"), HasSubstr("achieved probability"), HasSubstr("w1")));
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("evaluated         110  = unmatched + matched"), HasSubstr("spared_protected  3"),
                    Not(HasSubstr("does not close")), Not(HasSubstr("nothing has matched"))));
}

TEST_F(CtlCommands, ShowSaysWhenSumsDoNotCloseAndWhenNothingMatched) {
  answer("GET /api/chaos/scenarios/a", R"({"id":"a","state":"active","counters":{"evaluated":5,"unmatched":4}})");
  const Ran ran = run({"show", "a"});
  EXPECT_THAT(ran.out, AllOf(HasSubstr("does not close: evaluated 5 != unmatched 4 + matched 0"),
                             HasSubstr("active, but nothing has matched so far (5 evaluated)")));
  answer("GET /api/chaos/scenarios/a",
         R"({"id":"a","state":"active","counters":{"evaluated":0},"warnings":["active, but no packet has matched"]})");
  EXPECT_THAT(run({"show", "a"}).out, AllOf(HasSubstr("no packet has matched"), Not(HasSubstr("evaluated)"))));
}

TEST_F(CtlCommands, AnIdCannotReachAnotherPath) {
  const Ran ran = run({"show", "../../health?x=1"});
  EXPECT_EQ(ran.exit, 3);
  EXPECT_EQ(daemon_.requests().back().path, "/api/chaos/scenarios/..%2F..%2Fhealth%3Fx%3D1");
}

TEST_F(CtlCommands, StopPrintsTheVerdictOnResidue) {
  answer("POST " + scenario_path_ + "/stop", scenario_body("aborted", "stopped"));
  answer("GET /api/chaos/residue", kClean);
  const Ran clean = run({"stop", std::string(kScenarioId)});
  EXPECT_EQ(clean.exit, 0) << clean.err;
  EXPECT_THAT(clean.out, AllOf(HasSubstr("aborted (stopped)  matched 100, injected 9"), HasSubstr("Residue: none")));

  answer("GET /api/chaos/residue", kDirty);
  const Ran dirty = run({"stop", std::string(kScenarioId)});
  EXPECT_EQ(dirty.exit, 1);
  EXPECT_THAT(dirty.out, AllOf(HasSubstr("something of chaosd is left"), HasSubstr("tcx egress of eth1")));
}

TEST_F(CtlCommands, StopOfAFailedScenarioIsAFailure) {
  answer("POST " + scenario_path_ + "/stop", scenario_body("failed", "lapsed"));
  answer("GET /api/chaos/residue", kClean);
  EXPECT_EQ(run({"stop", std::string(kScenarioId)}).exit, 1);
}

TEST_F(CtlCommands, StopAllStopsTheRestWhenOneResists) {
  answer("GET /api/chaos/scenarios", R"({"scenarios":[{"id":"a"},{"id":"b"},{"id":"c"}]})");
  for (const char* id : {"a", "c"}) {
    answer("POST /api/chaos/scenarios/" + std::string(id) + "/stop",
           R"({"id":")" + std::string(id) + R"(","state":"aborted","end_reason":"stopped"})");
  }
  answer("POST /api/chaos/scenarios/b/stop", R"({"detail":"no"})", 500);
  answer("GET /api/chaos/residue", kClean);
  const Ran ran = run({"stop", "--all"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("a  "), HasSubstr("c  "), HasSubstr("Residue: none")));
  EXPECT_THAT(ran.err, HasSubstr("b  chaosctl: no"));
}

TEST_F(CtlCommands, EmergencyStopByTheDaemon) {
  answer("POST /api/chaos/emergency-stop", R"({"stopped":["a","b"],"latched":true,"warnings":["odd"]})");
  const Ran ran = run({"emergency-stop", "--reason", "smoke"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(sent_to("/api/chaos/emergency-stop"), Json::parse(R"({"reason":"smoke"})"));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("2 scenarios stopped"), HasSubstr("  a\n"), HasSubstr("odd")));

  answer("POST /api/chaos/emergency-stop", R"({"detail":"view only"})", 403);
  EXPECT_EQ(run({"emergency-stop"}).exit, 4);
}

TEST_F(CtlCommands, KindsComeFromTheDaemon) {
  answer("GET /api/chaos/kinds", kinds_body());
  EXPECT_THAT(run({"kinds"}).out,
              AllOf(HasSubstr("packet_loss"), HasSubstr("latency_injection"), HasSubstr("Delay packets")));
  EXPECT_THAT(run({"kinds", "packet_loss"}).out,
              AllOf(HasSubstr("0% .. 100%"), HasSubstr("1:1% 5:50%"), HasSubstr("random | per_flow"),
                    HasSubstr("max_events"), HasSubstr("tcx"), Not(HasSubstr("delay"))));
  const Ran unknown = run({"kinds", "typo"});
  EXPECT_EQ(unknown.exit, 3);
  EXPECT_THAT(unknown.err, HasSubstr("kinds: packet_loss, latency_injection"));
}

TEST_F(CtlCommands, HelpOfStartShowsTheParametersOfTheKind) {
  answer("GET /api/chaos/kinds", kinds_body());
  const Ran ran = run({"start", "packet_loss", "--help"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("--confirm-default-route"), HasSubstr("Share of packets lost")));
  EXPECT_THAT(run({"plan", "--help", "typo"}).out, HasSubstr("there is no kind 'typo'"));
  const Ran alone = run_ctl({"--socket", (dir_ / "none").string(), "start", "packet_loss", "--help"});
  EXPECT_EQ(alone.exit, 0);
  EXPECT_THAT(alone.out, HasSubstr("it cannot be asked"));
}

TEST_F(CtlCommands, FeaturesSayWhyNotAndWhatInstead) {
  answer("GET /api/chaos/features",
         R"({"kernel":"6.18","features":[{"name":"tcx","available":true},
             {"name":"fentry","available":false,"reason":"EPERM","used_instead":"tp_btf"}]})");
  EXPECT_THAT(run({"features"}).out,
              AllOf(HasSubstr("Kernel 6.18"), HasSubstr("tcx      yes"), HasSubstr("fentry   no    EPERM    tp_btf")));
}

TEST_F(CtlCommands, ResidueOfTheDaemon) {
  answer("GET /api/chaos/residue", kDirty);
  EXPECT_EQ(run({"residue"}).exit, 1);
  answer("GET /api/chaos/residue", kClean);
  EXPECT_EQ(run({"residue"}).exit, 0);
  answer("GET /health", R"({"instance":"mine"})");
  EXPECT_EQ(run({"residue", "--instance", "mine"}).exit, 0);
}

TEST_F(CtlCommands, AuditVerifyTellsTheVerdictInALineAndAsExitStatus) {
  answer("GET /api/audit/verify", R"({"ok":true,"checked":120,"unchained":0,"head":"12ab"})");
  Ran ran = run({"audit", "--verify"});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out, "The audit log is intact: 120 entries checked; head 12ab\n");
  answer("GET /api/audit/verify", R"({"ok":true,"checked":1,"unchained":3,"head":"12ab"})");
  EXPECT_EQ(run({"audit", "--verify"}).out,
            "The audit log is intact: 1 entry checked, 3 before them have no hash; head 12ab\n");

  const std::string bad =
      R"({"ok":false,"checked":16,"unchained":0,"head":"12ab","problem":{"seq":17,"what":"altered"}})";
  answer("GET /api/audit/verify", bad);
  ran = run({"audit", "--verify"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(ran.out, "The audit log is not as it was written: entry 17: altered (16 entries checked)\n");
  ran = run({"-o", "json", "audit", "--verify"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_EQ(Json::parse(ran.out), Json::parse(bad));
  answer("GET /api/audit/verify", R"({"detail":"no"})", 403);
  EXPECT_EQ(run({"audit", "--verify"}).exit, 4) << "no verdict";
}

TEST_F(CtlCommands, AuditHealthLogLevelReload) {
  answer("GET /api/audit?limit=3",
         R"({"entries":[{"seq":9,"time":"T","action":"start_scenario","user":"ada","uid":7,"status":409,
             "comm":"x\u001b]0;y","scenario_id":"S","detail":"d"}]})");
  EXPECT_THAT(run({"audit", "--limit", "3"}).out,
              AllOf(HasSubstr("start_scenario"), HasSubstr("ada"), HasSubstr("x\\x1b]0;y"), Not(HasSubstr("\x1b"))));

  answer("GET /health", R"({"active":1,"latched":true,"latch_reason":"smoke","status":"ok","version":"0.1.0"})");
  const Ran healthy = run({"health"});
  EXPECT_EQ(healthy.exit, 0);
  EXPECT_THAT(healthy.out, AllOf(testing::StartsWith("status"), HasSubstr("rearm")));
  answer("GET /health", R"({"status":"degraded"})");
  EXPECT_EQ(run({"health"}).exit, 1);

  answer("GET /api/log-level", R"({"level":"info"})");
  answer("POST /api/log-level", R"({"level":"debug"})");
  EXPECT_EQ(run({"log-level"}).out, "info\n");
  EXPECT_EQ(run({"log-level", "debug"}).out, "debug\n");
  EXPECT_EQ(sent_to("/api/log-level"), Json::parse(R"({"level":"debug"})"));

  answer("POST /api/config/reload", R"({"warnings":["w"],"not_in_effect":["telemetry"]})");
  EXPECT_THAT(run({"reload"}).out, AllOf(HasSubstr("warning  w"), HasSubstr("not in effect yet  telemetry")));
  answer("POST /api/chaos/rearm", R"({"latched":false})");
  EXPECT_THAT(run({"rearm"}).out, HasSubstr("Re-armed"));
}

TEST_F(CtlCommands, EventsThatWereKept) {
  answer(
      "GET /api/events?follow=false",
      "id: 7\nevent: scenario\ndata: " + scenario_body("active") + "\n\nid: 8\nevent: latch\ndata: {\"on\":true}\n\n",
      200, FakeReply::Kind::kClosed);
  const Ran ran = run({"events"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr(kScenarioId), HasSubstr("matched 100, injected 9"), HasSubstr("on=true")));
  EXPECT_THAT(daemon_.requests().back().head, testing::EndsWith("Last-Event-ID: 0"));
  EXPECT_EQ(run({"events", "--since", "6"}).exit, 0);
  EXPECT_THAT(daemon_.requests().back().head, testing::EndsWith("Last-Event-ID: 6"));
  const Json document = Json::parse(run({"-o", "json", "events"}).out);
  EXPECT_EQ(document["events"].size(), 2U);
  EXPECT_EQ(document["events"][1]["data"]["on"], true);
}

TEST_F(CtlCommands, FollowedEventsEndWithTheDaemon) {
  answer("GET /api/events", "id: 7\nevent: a\ndata: 1\n\nid: 8\nevent: a\ndata: 2\n\n", 200, FakeReply::Kind::kClosed);
  const Ran ran = run({"-o", "json", "events", "--follow"});
  EXPECT_EQ(ran.exit, 5);
  EXPECT_EQ(ran.out, "{\"id\":\"7\",\"event\":\"a\",\"data\":1}\n{\"id\":\"8\",\"event\":\"a\",\"data\":2}\n");
}

}  // namespace
}  // namespace chaos::test
