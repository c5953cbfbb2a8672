// The emergency stop: one pull ends everything, and nothing starts until an operator re-arms, over restarts as well.
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <memory>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class Brake : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("brake");
    daemon_ = std::make_unique<Daemon>();
    stream_ = std::make_unique<Stream>(Stream::End{net_->left, "10.77.0.1"}, Stream::End{net_->right, "10.77.0.2"},
                                       std::chrono::microseconds(200));
    ASSERT_TRUE(stream_->first_arrival({}, seconds(5)));
  }
  void TearDown() override {
    stream_.reset();
    daemon_.reset();
    net_.reset();
  }

  /// Three scenarios; the first one takes the stream.
  std::vector<std::string> start_some() {
    std::vector<std::string> ids{id_of(daemon_->run_scenario(total_loss(net_->left)))};
    for (const char* port : {"7001", "7002"}) {
      json other = total_loss(net_->right);
      other["target"]["port"] = port;
      ids.push_back(id_of(daemon_->run_scenario(other)));
    }
    EXPECT_TRUE(stream_->falls_silent(milliseconds(50), seconds(5)));
    return ids;
  }
  void expect_ended(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) {
      const json record = wait_for_end(*daemon_, id);
      EXPECT_EQ(record.value("state", ""), "aborted") << record.dump(1);
      EXPECT_EQ(record.value("end_reason", ""), "emergency_stop") << record.dump(1);
    }
    EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon_->pid()).links.empty(); }));
    const std::uint64_t received = stream_->received();
    EXPECT_TRUE(eventually([&] { return stream_->received() > received + 100; }));
  }
  void expect_latched() {
    const json health = daemon_->get("/health").body;
    EXPECT_EQ(health.value("latched", false), true) << health.dump(1);
    EXPECT_EQ(health.value("armed", true), false) << health.dump(1);
    const Response refused = daemon_->post("/api/chaos/scenarios", total_loss(net_->left));
    EXPECT_EQ(refused.status, 409) << refused.text;
    EXPECT_TRUE(refused.body.value("rule", "").contains("latch")) << refused.text;
    EXPECT_TRUE(refused.body.value("hint", "").contains("rearm")) << refused.text;
    EXPECT_TRUE(daemon_->get("/api/chaos/scenarios").body.at("scenarios").empty());
    EXPECT_TRUE(bpf_objects_of(daemon_->pid()).links.empty());
  }
  void expect_rearms() {
    EXPECT_EQ(daemon_->post("/api/chaos/rearm").status, 200);
    const json health = daemon_->get("/health").body;
    EXPECT_EQ(health.value("latched", true), false) << health.dump(1);
    EXPECT_EQ(health.value("armed", false), true) << health.dump(1);
    const std::string id = id_of(daemon_->run_scenario(total_loss(net_->left)));
    EXPECT_TRUE(stream_->falls_silent(milliseconds(50), seconds(5)));
    EXPECT_EQ(daemon_->stop_scenario(id).value("state", ""), "completed");
  }
  void restart() {
    const int status = daemon_->stop();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    daemon_->start();
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(Brake, EmergencyStopEndsAllAndHoldsOverARestart) {
  const auto ids = start_some();
  const auto pulled = steady_clock::now();
  const Response answer = daemon_->post("/api/chaos/emergency-stop", {{"reason", "system test"}});
  ASSERT_EQ(answer.status, 200) << answer.text;
  const auto arrival = stream_->first_arrival(pulled, seconds(5));
  ASSERT_TRUE(arrival);
  Timings timings;
  timings.add(*arrival - pulled);
  timings.report("emergency stop request to first packet");
  EXPECT_EQ(answer.body.at("stopped").size(), ids.size()) << answer.text;
  EXPECT_EQ(answer.body.value("latched", false), true) << answer.text;

  expect_ended(ids);
  expect_latched();
  restart();
  expect_latched();
  EXPECT_TRUE(daemon_->get("/health").body.value("latch_reason", "").contains("system test"));
  restart();
  expect_rearms();
  restart();
  expect_rearms();
}

TEST_F(Brake, HoldsWhenTheDaemonIsKilledAtOnceAfterwards) {
  (void)start_some();
  ASSERT_EQ(daemon_->post("/api/chaos/emergency-stop").status, 200);
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  daemon_->start();
  expect_latched();
  expect_rearms();
}

TEST_F(Brake, SignalPullsItToo) {
  const auto ids = start_some();
  daemon_->signal(SIGUSR1);
  expect_ended(ids);
  expect_latched();
  EXPECT_TRUE(daemon_->get("/health").body.value("latch_reason", "").contains("SIGUSR1"));
  restart();
  expect_latched();
  expect_rearms();
}

TEST_F(Brake, StopFileHoldsAtTheStartUntilRearm) {
  EXPECT_EQ(WEXITSTATUS(daemon_->stop()), 0);
  const auto file = daemon_->runtime_dir() / "STOP";
  std::ofstream(file) << "by hand\n";
  daemon_->start();
  expect_latched();
  restart();
  expect_latched();
  expect_rearms();
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(Brake, TakesABodyThatIsNone) {
  const auto ids = start_some();
  const Response answer = http(daemon_->socket(), "POST", "/api/chaos/emergency-stop", "{\"reason\": 7, not JSON");
  EXPECT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.body.at("stopped").size(), ids.size()) << answer.text;
  EXPECT_FALSE(answer.body.value("warnings", json::array()).empty()) << answer.text;
  expect_ended(ids);
  expect_latched();
}

TEST_F(Brake, AuditTellsWhoPulledAndWhoLifted) {
  const auto ids = start_some();
  ASSERT_EQ(daemon_->post("/api/chaos/emergency-stop", {{"reason", "for the record"}}).status, 200);
  expect_ended(ids);
  expect_latched();
  ASSERT_TRUE(eventually([&] { return daemon_->post("/api/chaos/rearm").status == 200; }));

  const json entries = daemon_->get("/api/audit").body.at("entries");
  const auto of = [&](const std::string& action, int status) {
    for (const json& entry : entries) {
      if (entry.value("action", "") == action && entry.value("status", 0) == status) return entry;
    }
    return json::object();
  };
  for (const auto& [action, status] : {std::pair{"start_scenario", 201}, std::pair{"emergency_stop", 200},
                                       std::pair{"start_scenario", 409}, std::pair{"rearm", 200}}) {
    const json entry = of(action, status);
    EXPECT_FALSE(entry.empty()) << action << ' ' << status << " in " << entries.dump(1);
    EXPECT_EQ(entry.value("uid", -1), 0) << entry.dump(1);
    EXPECT_EQ(entry.value("pid", -1), getpid()) << entry.dump(1);
    EXPECT_EQ(entry.value("socket", ""), daemon_->socket()) << entry.dump(1);
    EXPECT_FALSE(entry.value("comm", "").empty()) << entry.dump(1);
  }
  EXPECT_TRUE(of("emergency_stop", 200).value("detail", "").contains("for the record"));
  EXPECT_TRUE(of("start_scenario", 409).value("detail", "").contains("latch"));
}

}  // namespace
}  // namespace chaos::test
