// Killed by a debugger at each point between admission, attach, audit and reply: after a restart history, audit and
// kernel tell the same story.
#include <gtest/gtest.h>

#include <memory>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;

class Killed : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    if (try_shell("command -v gdb").status != 0) {
      ASSERT_EQ(std::getenv("CHAOS_REQUIRE_KERNEL"), nullptr) << "gdb is missing";
      GTEST_SKIP() << "needs gdb";
    }
    net_ = std::make_unique<Namespace>("killed");
    Daemon::Setup setup;
    // Under the debugger from its start (to attach takes so long that the lease would run out), but only the first
    // time.
    setup.wrapper = {
        "sh",
        "-c",
        "mark=$1; point=$2; shift 2; if [ -e \"$mark\" ]; then exec \"$@\"; fi; : > \"$mark\"; exec gdb -q "
        "-nx -batch -iex 'set debuginfod enabled off' -ex 'set confirm off' -ex \"break $point\" -ex run "
        "-ex 'echo HIT\\n' -ex kill --args \"$@\"",
        "killed",
        (files_.path() / "mark").string(),
        GetParam()};
    daemon_ = std::make_unique<Daemon>(std::move(setup));
  }
  /// All rows, oldest first.
  [[nodiscard]] json audit() const {
    json rows = daemon_->get("/api/audit?limit=1000").body.at("entries");
    std::ranges::reverse(rows);
    return rows;
  }
  [[nodiscard]] static bool has(const json& rows, const std::string& action, const std::string& id) {
    return std::ranges::any_of(
        rows, [&](const json& row) { return row.value("action", "") == action && row.value("scenario_id", "") == id; });
  }

  const TempDir files_;
  std::unique_ptr<Namespace> net_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_P(Killed, HistoryAuditAndKernelAgree) {
  const Response answer = daemon_->post("/api/chaos/scenarios", total_loss(*net_));
  EXPECT_EQ(answer.status, 0) << "it was answered, so the point was never reached: " << answer.text;
  (void)daemon_->wait();
  ASSERT_TRUE(daemon_->log().contains("HIT")) << daemon_->log();
  EXPECT_TRUE(eventually([&] { return attached_programs(*net_, "lo") == 0; }));

  daemon_->start();
  EXPECT_EQ(daemon_->get("/api/chaos/residue").body.value("clean", false), true);
  EXPECT_TRUE(daemon_->get("/api/chaos/scenarios").body.at("scenarios").empty());
  EXPECT_EQ(daemon_->get("/api/audit/verify").body.value("ok", false), true);
  const json rows = audit();
  const json scenarios = daemon_->get("/api/chaos/scenarios?all=true").body.at("scenarios");
  for (const json& scenario : scenarios) {
    const std::string id = id_of(scenario);
    EXPECT_EQ(scenario.value("state", ""), "failed") << scenario.dump(1);
    EXPECT_TRUE(has(rows, "scenario_ended", id)) << "its end is not on record: " << rows.dump(1);
  }
  for (const json& row : rows) {
    if (row.value("action", "") != "arm_scenario") continue;
    EXPECT_EQ(daemon_->get("/api/chaos/scenarios/" + row.value("scenario_id", "")).status, 200)
        << "on record, but unknown: " << row.dump(1);
  }
  (void)daemon_->stop_scenario(id_of(daemon_->run_scenario(total_loss(*net_))));
}

INSTANTIATE_TEST_SUITE_P(Points, Killed,
                         testing::Values("chaos::Scenarios::arm", "chaos::Injector::prepare",
                                         "chaos::AuditWriter::write", "chaos::Scenarios::go_on_arming",
                                         "chaos::PacketEngine::arm", "chaos::Scenarios::armed",
                                         "chaos::Recorder::flush"),
                         [](const auto& param) {
                           std::string name(param.param);
                           name = name.substr(name.find("::") + 2);
                           std::erase(name, ':');
                           std::erase(name, '_');
                           return name;
                         });

}  // namespace
}  // namespace chaos::test
