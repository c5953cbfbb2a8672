// The audit log of a running daemon: what it does by itself is in it, a change behind its back is found, and when the
// disk is full nothing new starts, while what runs can be stopped.
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/requests.h"
#include "support/shell.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;

json audit_of(const Daemon& daemon) { return daemon.get("/api/audit?limit=1000").body.at("entries"); }

/// The newest entry of that action about that scenario; waits for it.
json entry_of(const Daemon& daemon, const std::string& action, const std::string& scenario_id = "") {
  json found;
  EXPECT_TRUE(eventually([&] {
    const json entries = audit_of(daemon);
    const auto it = std::ranges::find_if(entries, [&](const json& entry) {
      return entry.value("action", "") == action && entry.value("scenario_id", "") == scenario_id;
    });
    if (it == entries.end()) return false;
    found = *it;
    return true;
  })) << action
      << ' ' << scenario_id;
  return found;
}

void expect_own(const json& entry, const Daemon& daemon, const std::string& detail) {
  EXPECT_EQ(entry.value("comm", ""), "chaosd") << entry.dump(1);
  EXPECT_EQ(entry.value("uid", -1), 0) << entry.dump(1);
  EXPECT_EQ(entry.value("pid", -1), daemon.pid()) << entry.dump(1);
  EXPECT_FALSE(entry.contains("socket")) << entry.dump(1);
  EXPECT_TRUE(entry.value("detail", "").starts_with(detail)) << entry.dump(1);
}

std::size_t ends_on_record(const Daemon& daemon, const std::string& id) {
  const json entries = audit_of(daemon);
  return static_cast<std::size_t>(std::ranges::count_if(entries, [&](const json& entry) {
    return entry.value("action", "") == "scenario_ended" && entry.value("scenario_id", "") == id;
  }));
}

class AuditLog : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("audit");
    daemon_ = std::make_unique<Daemon>();
  }
  std::string start(const std::string& duration = "1m") {
    return id_of(daemon_->run_scenario(total_loss(net_->left, duration)));
  }
  void expect_whole() {
    const json verdict = daemon_->get("/api/audit/verify").body;
    EXPECT_EQ(verdict.value("ok", false), true) << verdict.dump(1);
    EXPECT_EQ(verdict.value("head", ""), audit_of(*daemon_).at(0).value("hash", "?")) << verdict.dump(1);
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(AuditLog, EndsThatNobodyAskedForAreOnRecord) {
  const std::string expired = start("300ms");
  EXPECT_EQ(wait_for_end(*daemon_, expired).value("end_reason", ""), "expired");
  expect_own(entry_of(*daemon_, "scenario_ended", expired), *daemon_, "expired");

  const std::string stopped = start();
  (void)daemon_->stop_scenario(stopped);
  const std::string killed = start();
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  daemon_->start();
  expect_own(entry_of(*daemon_, "scenario_ended", killed), *daemon_, "error: chaosd died");

  const std::string ended = start();
  EXPECT_EQ(WEXITSTATUS(daemon_->stop()), 0);
  daemon_->start();
  EXPECT_EQ(entry_of(*daemon_, "scenario_ended", ended).value("detail", ""), "stopped by SIGTERM");
  EXPECT_EQ(ends_on_record(*daemon_, stopped), 0U) << "a client's stop is on record as such";
  EXPECT_EQ(ends_on_record(*daemon_, killed), 1U);
  expect_whole();
}

TEST_F(AuditLog, SignalsAreOnRecord) {
  daemon_->signal(SIGHUP);
  expect_own(entry_of(*daemon_, "reload_config"), *daemon_, "SIGHUP");
  daemon_->write_config("chaos_testing: {max_severity: 9}\n");
  daemon_->signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return entry_of(*daemon_, "reload_config").value("status", 0) == 400; }))
      << entry_of(*daemon_, "reload_config").dump(1);

  const std::string id = start();
  daemon_->signal(SIGUSR1);
  expect_own(entry_of(*daemon_, "emergency_stop"), *daemon_, "SIGUSR1; ended 1");
  expect_own(entry_of(*daemon_, "scenario_ended", id), *daemon_, "emergency_stop by SIGUSR1");
  expect_whole();
}

TEST_F(AuditLog, ChangeBehindItsBackIsFound) {
  const std::string chaosctl = CHAOS_BIN_DIR "/chaosctl --socket " + daemon_->socket() + " audit --verify";
  const std::string id = start();
  (void)daemon_->stop_scenario(id);
  EXPECT_TRUE(run(chaosctl));
  const auto sql = run("sqlite3 " + (daemon_->state_dir() / "chaosd.db").string() +
                       " \"PRAGMA busy_timeout = 5000; DROP TRIGGER audit_no_update; UPDATE audit SET uid = 4242 WHERE "
                       "action = 'stop_scenario'\"");
  ASSERT_TRUE(sql) << sql.error().message;
  const auto seq = entry_of(*daemon_, "stop_scenario", id).value("seq", 0);
  const json verdict = daemon_->get("/api/audit/verify").body;
  EXPECT_EQ(verdict.at("problem").value("seq", -1), seq) << verdict.dump(1);
  EXPECT_EQ(verdict.value("ok", true), false) << verdict.dump(1);
  EXPECT_EQ(verdict.at("problem").value("what", ""), "altered") << verdict.dump(1);
  EXPECT_FALSE(run(chaosctl));
  daemon_->stop();
  daemon_->start();
  EXPECT_EQ(daemon_->get("/api/audit/verify").body.value("ok", true), false) << "a restart heals nothing";
}

/// The state directory is a small file system of its own, in a mount namespace of the test's own.
class FullDisk : public AuditLog {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    net_ = std::make_unique<VethPair>("full");
    Daemon::Setup setup;
    setup.prepare = [](const std::filesystem::path& directory) {
      std::filesystem::create_directory(directory / "state");
      ASSERT_EQ(mount("chaos-test", (directory / "state").c_str(), "tmpfs", 0, "size=4m,mode=0700"), 0);
    };
    daemon_ = std::make_unique<Daemon>(setup);
  }
  void TearDown() override {
    if (daemon_) {
      if (daemon_->running()) daemon_->stop();
      umount2(daemon_->state_dir().c_str(), MNT_DETACH);
    }
  }
  void fill() const {
    std::ofstream file(ballast(), std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
    EXPECT_EQ(std::filesystem::space(daemon_->state_dir()).available, 0U);
  }
  void make_room() const { std::filesystem::remove(ballast()); }
  [[nodiscard]] std::filesystem::path ballast() const { return daemon_->state_dir() / "ballast"; }
  [[nodiscard]] bool writable() const { return daemon_->get("/health").body.value("audit_writable", true); }
  void expect_refused() {
    const Response refused = daemon_->post("/api/chaos/scenarios", total_loss(net_->right));
    EXPECT_EQ(refused.status, 409) << refused.text;
    EXPECT_EQ(refused.body.value("rule", ""), "audit before action") << refused.text;
    EXPECT_FALSE(refused.body.value("hint", "").empty()) << refused.text;
  }
};

TEST_F(FullDisk, NothingStartsStoppingWorksAndItHealsByItself) {
  const std::string id = start();
  fill();
  ASSERT_TRUE(writable()) << "it cannot know yet";
  expect_refused();
  EXPECT_FALSE(writable());
  EXPECT_EQ(daemon_->get("/health").body.value("status", ""), "degraded");
  expect_refused();
  EXPECT_EQ(daemon_->get("/api/chaos/scenarios").body.at("scenarios").size(), 1U);

  EXPECT_EQ(daemon_->stop_scenario(id).value("state", ""), "completed");
  EXPECT_EQ(daemon_->scenario(id).value("state", ""), "completed") << "though the history cannot be written";
  expect_refused();

  make_room();
  // Without anybody asking for anything.
  EXPECT_TRUE(eventually([&] { return writable(); }, seconds(10)));
  (void)daemon_->stop_scenario(start());
  const json stop = entry_of(*daemon_, "stop_scenario", id);
  EXPECT_EQ(stop.value("status", 0), 200) << "on record although the disk was full then: " << stop.dump(1);
  const json entries = audit_of(*daemon_);
  EXPECT_EQ(std::ranges::count(entries, 409, [](const json& entry) { return entry.value("status", 0); }), 3);
  expect_whole();

  daemon_->stop();
  daemon_->start();
  EXPECT_EQ(daemon_->scenario(id).value("state", ""), "completed");
  expect_whole();
}

TEST_F(FullDisk, EmergencyStopWorks) {
  const std::string id = start();
  fill();
  const Response answer = daemon_->post("/api/chaos/emergency-stop", {{"reason", "disk full"}});
  EXPECT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.body.at("stopped"), json::array({id})) << answer.text;
  EXPECT_TRUE(eventually([&] { return daemon_->get("/health").body.value("active", 1) == 0; }));
  EXPECT_EQ(daemon_->scenario(id).value("end_reason", ""), "emergency_stop");
  EXPECT_EQ(daemon_->get("/health").body.value("latched", false), true);

  make_room();
  EXPECT_TRUE(eventually([&] { return writable(); }, seconds(10)));
  EXPECT_TRUE(entry_of(*daemon_, "emergency_stop").value("detail", "").contains("disk full"));
  EXPECT_EQ(daemon_->post("/api/chaos/rearm").status, 200);
  (void)daemon_->stop_scenario(start());
  expect_whole();
}

}  // namespace
}  // namespace chaos::test
