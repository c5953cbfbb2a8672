// The history on disk as an operator meets it: over a restart, with a lock, on a full disk.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "base/clock.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/loop_file_system.h"
#include "support/net.h"
#include "support/requests.h"
#include "support/shell.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kSwitches = "chaosd_host_context_switches_total";

Daemon::Setup setup(const std::string& store = {}) {
  Daemon::Setup made;
  made.config =
      "chaos_testing: {blast_radius_limit: 1}\n"
      "monitoring: {metrics_interval: 100ms}\n"
      "telemetry: {interval: 50ms}\n"
      "store: {history_step: 1s" +
      store + "}\n";
  return made;
}

/// A metric without labels; -1: it is not shown.
double value_of(const Daemon& daemon, const std::string& name) {
  const json metrics = daemon.get("/api/monitoring/metrics?pattern=" + name).body;
  for (const json& series : metrics.at("metrics")) {
    if (series.at("name") == name) return series.at("value");
  }
  return -1;
}

double errors(const Daemon& daemon) { return value_of(daemon, "chaosd_telemetry_history_file_errors_total"); }
double lost_steps(const Daemon& daemon) { return value_of(daemon, "chaosd_telemetry_history_lost_steps_total"); }

/// What the kernel itself says.
double context_switches() {
  std::ifstream stat("/proc/stat");
  for (std::string word; stat >> word;) {
    double value = 0;
    if (word == "ctxt" && stat >> value) return value;
  }
  throw std::runtime_error("/proc/stat has no ctxt");
}

/// As long as the object lives, another process holds the lock to write.
class Lock {
 public:
  explicit Lock(const std::filesystem::path& file) : sqlite_("/usr/bin/sqlite3", {"sqlite3", file.string()}) {
    sqlite_.write_line(".timeout 5000");
    sqlite_.write_line("BEGIN IMMEDIATE;");
    sqlite_.write_line("SELECT 'locked';");
    if (sqlite_.read_line() != "locked") throw std::runtime_error("the database cannot be locked");
  }

 private:
  Child sqlite_;
};

std::filesystem::path history_file(const Daemon& daemon) { return daemon.state_dir() / "chaosd-history.db"; }

TEST(History, ARestartKeepsIt) {
  CHAOS_NEEDS_ROOT();
  const double before = context_switches();
  Daemon daemon(setup());
  // The first step is over.
  ASSERT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_seconds") > 2.5; }));
  const double begun = context_switches();
  ASSERT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_file_seconds") > 5; }));
  daemon.stop();
  daemon.start();
  ASSERT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_seconds") > 1.5; }));
  EXPECT_LT(value_of(daemon, "chaosd_telemetry_history_seconds"), 5) << "memory begins anew";
  const double late = context_switches();
  (void)value_of(daemon, kSwitches);
  const auto ask = [&](const std::string& rest) {
    return daemon.get(std::string("/api/monitoring/history?metric=") + kSwitches + "&since=2d" + rest).body;
  };
  const json all = ask("&step=0&aggregation=increase");
  const double after = context_switches();
  ASSERT_EQ(all.at("series").size(), 1U) << all.dump(1);
  EXPECT_FALSE(all.contains("problem")) << all.dump(1);
  double sum = 0;
  std::int64_t last_ms = 0;
  for (const json& point : all.at("series").at(0).at("points")) {
    EXPECT_GT(point.at(0).get<std::int64_t>(), last_ms) << "one after the other";
    last_ms = point.at(0);
    sum += point.at(1).get<double>();
  }
  EXPECT_GE(sum, late - begun) << "nothing is missing between file and memory";
  EXPECT_LE(sum, after - before) << "and nothing is there twice";

  const json steps = ask("&step=5m");
  EXPECT_EQ(steps.at("step_ms"), 300'000);
  const json fine =
      daemon.get(std::string("/api/monitoring/history?metric=") + kSwitches + "&since=10m&step=100ms").body;
  EXPECT_EQ(fine.at("step_ms"), 1000) << "no finer than the file";
  EXPECT_EQ(daemon.get(std::string("/api/monitoring/history?metric=") + kSwitches + "&since=2d&step=1s").status, 400);
  const Outcome plot = try_shell(std::string(CHAOS_BIN_DIR "/chaosctl --socket ") + daemon.socket() + " history " +
                                 kSwitches + " --since 2d");
  EXPECT_EQ(plot.status, 0) << plot.output;
  EXPECT_THAT(plot.output, HasSubstr("rate, per second"));
}

// Issue 9, "Done when" 6: neither the daemon nor a fault minds.
TEST(History, ALockIsCountedAndToldAndNothingElse) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("histlock");
  const Daemon daemon(setup());
  ASSERT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_file_seconds") > 0; }, seconds(20)));
  EXPECT_EQ(errors(daemon), 0);
  {
    const Lock lock(history_file(daemon));
    ASSERT_TRUE(eventually([&] { return errors(daemon) >= 1; }, seconds(30)));
    EXPECT_THAT(daemon.log(), HasSubstr("history of metrics is not written"));
    const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
    const Outcome ping = try_shell("ip netns exec " + net.left.name() + " ping -c 3 -i 0.05 -W 0.2 10.77.0.2");
    EXPECT_THAT(ping.output, HasSubstr("3 packets transmitted, 0 received")) << ping.output;
    EXPECT_EQ(daemon.stop_scenario(id).value("state", ""), "completed");
    EXPECT_EQ(daemon.get("/health").body.value("status", ""), "ok");
    EXPECT_EQ(lost_steps(daemon), 0) << "it waits in memory";
  }
  EXPECT_TRUE(eventually([&] { return daemon.log().contains("history of metrics is written again"); }, seconds(30)));
  EXPECT_EQ(lost_steps(daemon), 0);
}

TEST(History, AFullDiskIsCountedAndToldAndNothingElse) {
  CHAOS_NEEDS_ROOT();
  const LoopFileSystem disk(16);
  const VethPair net("histfull");
  const Daemon daemon(setup(", path: " + (disk.root() / "chaosd.db").string()));
  ASSERT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_file_seconds") > 0; }, seconds(20)));
  const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
  {
    std::ofstream ballast(disk.root() / "ballast", std::ios::binary);
    const std::string block(4096, 'x');
    while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  ASSERT_TRUE(eventually([&] { return errors(daemon) >= 1; }, seconds(90)));
  EXPECT_THAT(daemon.log(), HasSubstr("history of metrics is not written"));
  EXPECT_EQ(daemon.scenario(id).value("state", ""), "active");
  const Outcome ping = try_shell("ip netns exec " + net.left.name() + " ping -c 3 -i 0.05 -W 0.2 10.77.0.2");
  EXPECT_THAT(ping.output, HasSubstr("3 packets transmitted, 0 received")) << ping.output;
  EXPECT_EQ(daemon.stop_scenario(id).value("state", ""), "completed");
  const Outcome after = try_shell("ip netns exec " + net.left.name() + " ping -c 3 -i 0.05 -W 1 10.77.0.2");
  EXPECT_THAT(after.output, HasSubstr("3 packets transmitted, 3 received")) << after.output;
  std::filesystem::remove(disk.root() / "ballast");
  EXPECT_TRUE(eventually([&] { return daemon.log().contains("history of metrics is written again"); }, seconds(30)));
}

TEST(History, ADamagedFileIsSetAside) {
  CHAOS_NEEDS_ROOT();
  Daemon::Setup made = setup();
  made.prepare = [](const std::filesystem::path& directory) {
    std::filesystem::create_directory(directory / "state");
    std::ofstream(directory / "state" / "chaosd-history.db") << std::string(20'000, 'x');
  };
  const Daemon daemon(made);
  EXPECT_TRUE(eventually([&] { return value_of(daemon, "chaosd_telemetry_history_file_seconds") > 0; }, seconds(20)));
  EXPECT_THAT(daemon.log(), HasSubstr("chaosd-history.db.corrupt-"));
  EXPECT_EQ(errors(daemon), 1);
}

}  // namespace
}  // namespace chaos::test
