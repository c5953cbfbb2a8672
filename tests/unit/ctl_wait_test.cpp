// start --wait: the verdict, by events or by plain reads, and Ctrl-C.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

#include "ctl/problem.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Kind = FakeReply::Kind;

const std::string kPath = "/api/chaos/scenarios/" + std::string(kScenarioId);

std::string event(const std::string& data) {
  std::string line = data;
  std::erase(line, '\n');
  return "event: scenario\ndata: " + line + "\n\n";
}

TEST(CtlWait, FollowsTheEventsToTheEnd) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest& request) {
    if (request.method == "POST") return FakeReply{201, scenario_body("active")};
    if (request.path == kPath) return FakeReply{200, scenario_body("active")};
    return FakeReply{200,
                     event(R"({"id":"another","state":"failed"})") + event(scenario_body("stopping", "expired")) +
                         event(scenario_body("completed", "expired")),
                     Kind::kStream};
  });
  const Ran ran = run_ctl_on(daemon, {"start", "packet_loss", "--wait"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Started "), HasSubstr("now stopping (expired)"),
                             HasSubstr("completed (expired)"), HasSubstr("counters")));
}

TEST(CtlWait, TheVerdictIsTheExitCode) {
  for (const std::string state : {"failed", "aborted"}) {
    const ScratchDir dir;
    const FakeDaemon daemon(dir / "chaosd.sock", [&state](const FakeRequest& request) {
      if (request.method == "POST") return FakeReply{201, scenario_body("active")};
      return FakeReply{200, event(scenario_body(state, "lapsed")), Kind::kStream};
    });
    const Ran ran = run_ctl_on(daemon, {"-o", "json", "start", "packet_loss", "--wait"});
    EXPECT_EQ(ran.exit, 1);
    EXPECT_EQ(Json::parse(ran.out)["state"], state);
  }
}

TEST(CtlWait, AnEndBeforeTheStreamWasOpenIsSeen) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest& request) {
    if (request.method == "POST") return FakeReply{201, scenario_body("active")};
    if (request.path == kPath) return FakeReply{200, scenario_body("completed", "expired")};
    return FakeReply{200, ": nothing will come\n\n", Kind::kStream};
  });
  EXPECT_EQ(run_ctl_on(daemon, {"start", "packet_loss", "--wait"}).exit, 0);
}

TEST(CtlWait, ReadsWhereThereAreNoEvents) {
  const ScratchDir dir;
  std::atomic<int> reads = 0;
  const FakeDaemon daemon(dir / "chaosd.sock", [&](const FakeRequest& request) {
    if (request.method == "POST") return FakeReply{201, scenario_body("active")};
    if (request.path == kPath) return FakeReply{200, scenario_body(++reads < 2 ? "active" : "completed", "expired")};
    return FakeReply{503, R"({"detail":"too many clients"})"};
  });
  EXPECT_EQ(run_ctl_on(daemon, {"start", "packet_loss", "--wait"}).exit, 0);
  EXPECT_EQ(reads, 2);
}

TEST(CtlWait, ADaemonThatGoesAwayIsNotReachable) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest& request) {
    if (request.method == "POST") return FakeReply{201, scenario_body("active")};
    return FakeReply{200, "", Kind::kBroken};
  });
  EXPECT_EQ(run_ctl_on(daemon, {"start", "packet_loss", "--wait"}).exit, 5);
}

TEST(CtlWait, AScenarioThatHasEndedAlreadyNeedsNoWait) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest&) {
    return FakeReply{201, scenario_body("completed", "expired")};
  });
  EXPECT_EQ(run_ctl_on(daemon, {"start", "packet_loss", "--wait"}).exit, 0);
  EXPECT_EQ(daemon.requests().size(), 1U);
}

TEST(CtlWait, CtrlCEndsTheWaitAndNotTheScenario) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest& request) {
    if (request.method == "POST") return FakeReply{201, scenario_body("active")};
    if (request.path == kPath) return FakeReply{200, scenario_body("active")};
    return FakeReply{200, "", Kind::kStream};
  });
  Child ctl({CHAOS_BIN_DIR "/chaosctl", "--socket", daemon.socket(), "start", "packet_loss", "--wait"}, dir.path());
  ASSERT_TRUE(daemon.wait_for("/api/events"));
  ::kill(ctl.pid(), SIGINT);
  EXPECT_EQ(ctl.wait(), 130);
  EXPECT_THAT(read_text(dir / "err"),
              AllOf(HasSubstr("goes on (active)"), HasSubstr("stop " + std::string(kScenarioId))));
  for (const FakeRequest& request : daemon.requests()) EXPECT_THAT(request.path, Not(HasSubstr("/stop")));
}

TEST(CtlWait, CtrlCEndsFollowedEventsWell) {
  const ScratchDir dir;
  FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest&) {
    return FakeReply{200, "id: 1\nevent: a\ndata: 1\n\n", Kind::kStream};
  });
  Child ctl({CHAOS_BIN_DIR "/chaosctl", "--socket", daemon.socket(), "events", "--follow"}, dir.path());
  ASSERT_TRUE(daemon.wait_for("/api/events"));
  ::kill(ctl.pid(), SIGINT);
  EXPECT_EQ(ctl.wait(), 0) << read_text(dir / "err");
}

}  // namespace
}  // namespace chaos::test
