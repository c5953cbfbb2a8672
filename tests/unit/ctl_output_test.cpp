// The command line itself: one document in json, colour, usage errors, help.
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

class CtlOutput : public FakeDaemonTest {};

TEST_F(CtlOutput, JsonIsOneDocumentOnStdout) {
  answer("POST /api/chaos/scenarios", scenario_body("active"), 201);
  answer("POST /api/chaos/plan", R"({"admitted":true,"scenario":{}})");
  answer("GET /api/chaos/scenarios", R"({"scenarios":[{"id":"a"}]})");
  answer("GET /api/chaos/scenarios/a", R"({"id":"a"})");
  answer("POST /api/chaos/scenarios/a/stop", R"({"id":"a","state":"aborted"})");
  answer("POST /api/chaos/emergency-stop", R"({"stopped":[],"latched":true})");
  answer("POST /api/chaos/rearm", R"({"latched":false})");
  answer("GET /api/chaos/kinds", kinds_body());
  answer("GET /api/chaos/features", R"({"features":[]})");
  answer("GET /api/chaos/residue", R"({"clean":true,"residue":[]})");
  answer("GET /api/audit?limit=100", R"({"entries":[]})");
  answer("GET /api/audit/verify", R"({"ok":true,"checked":0,"unchained":0,"head":"00"})");
  answer("GET /health", R"({"status":"ok"})");
  answer("GET /api/log-level", R"({"level":"info"})");
  answer("POST /api/config/reload", "{}");
  const std::vector<std::vector<std::string>> commands{
      {"start", "packet_loss"},
      {"plan", "packet_loss"},
      {"list"},
      {"show", "a"},
      {"stop", "a"},
      {"stop", "--all"},
      {"emergency-stop"},
      {"rearm"},
      {"kinds"},
      {"kinds", "packet_loss"},
      {"features"},
      {"residue"},
      {"audit"},
      {"audit", "--verify"},
      {"health"},
      {"log-level"},
      {"reload"},
      {"completion", "bash"},
      {"doctor"},
  };
  for (const auto& command : commands) {
    std::vector<std::string> args = command;
    args.insert(args.end(), {"-o", "json"});
    const Ran ran = run(args, /*tty=*/true);
    EXPECT_TRUE(ran.exit == 0 || command.front() == "doctor") << command.front() << ": " << ran.err;
    EXPECT_FALSE(Json::parse(ran.out, nullptr, false).is_discarded()) << command.front() << ": " << ran.out;
    EXPECT_EQ(ran.err, "") << command.front();
    EXPECT_THAT(ran.out, Not(HasSubstr("\x1b"))) << command.front();
  }
}

TEST_F(CtlOutput, JsonErrorsAreProblemDocuments) {
  answer("GET /api/chaos/scenarios/a", R"({"type":"t","title":"T","detail":"d","field":"id"})", 404);
  const Ran ran = run({"-o", "json", "show", "a"});
  EXPECT_EQ(ran.exit, 3);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(Json::parse(ran.err), Json::parse(R"({"type":"t","title":"T","detail":"d","field":"id","status":404})"));
  const Ran usage = run({"show", "-o", "json"});
  EXPECT_EQ(usage.exit, 2);
  EXPECT_EQ(Json::parse(usage.err)["status"], 400);
}

TEST_F(CtlOutput, ColourOnlyOnATerminalThatWantsIt) {
  answer("GET /api/chaos/scenarios", R"({"scenarios":[)" + scenario_body("active") + "]}");
  EXPECT_THAT(run({"list"}, /*tty=*/true).out, HasSubstr("\x1b[32mactive\x1b[0m"));
  EXPECT_THAT(run({"list"}, /*tty=*/false).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(run({"list", "--no-color"}, /*tty=*/true).out, Not(HasSubstr("\x1b")));
  const ScopedEnv no_color("NO_COLOR", "1");
  EXPECT_THAT(run({"list"}, /*tty=*/true).out, Not(HasSubstr("\x1b")));
}

TEST_F(CtlOutput, BadCommandLinesAreUsageErrorsAndSendNothing) {
  const std::vector<std::vector<std::string>> commands{
      {},
      {"typo"},
      {"list", "extra"},
      {"-o", "xml", "list"},
      {"start"},
      {"start", "packet_loss", "--target", "interface"},
      {"start", "packet_loss", "--target", "=eth0"},
      {"start", "packet_loss", "-p", "probability"},
      {"start", "packet_loss", "-p", "probability=1%", "-p", "probability=2%"},
      {"start", "packet_loss", "--severity", "0"},
      {"start", "packet_loss", "--severity", "6"},
      {"start", "packet_loss", "--severity", "high"},
      {"start", "packet_loss", "--seed", "-1"},
      {"start", "packet_loss", "--seed", "18446744073709551616"},
      {"start", "packet_loss", "--idempotency-key", "a\r\nX: y"},
      {"start", "packet_loss", "--target"},
      {"plan", "packet_loss", "--wait"},
      {"show"},
      {"stop"},
      {"stop", "a", "--all"},
      {"events", "--since", "yesterday"},
      {"audit", "--limit", "0"},
      {"audit", "--limit", "1001"},
      {"audit", "--verify", "--limit", "3"},
      {"config"},
      {"config", "check"},
      {"completion", "tcsh"},
  };
  for (const auto& command : commands) {
    std::string shown;
    for (const std::string& word : command) shown += word + " ";
    const Ran ran = run(command);
    EXPECT_EQ(ran.exit, 2) << shown;
    EXPECT_THAT(ran.err, testing::StartsWith("chaosctl: ")) << shown;
    EXPECT_EQ(ran.out, "") << shown;
  }
  EXPECT_TRUE(daemon_.requests().empty());
}

TEST_F(CtlOutput, HelpAndVersionExitZero) {
  EXPECT_EQ(run({"--help"}).exit, 0);
  EXPECT_EQ(run({"stop", "--help"}).exit, 0);
  EXPECT_THAT(run({"--version"}).out, testing::StartsWith("chaosctl "));
  EXPECT_THAT(run({"--help"}).out, Not(HasSubstr("__complete")));
}

}  // namespace
}  // namespace chaos::test
