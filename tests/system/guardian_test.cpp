// The guardian and the undo journal around a chaosd that attaches by classic tc: filters outlive it, so somebody has to
// take them away, however it ends. Observers: a UDP stream, tc(8), /proc.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

constexpr const char* kConfig =
    "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, packet_hook: clsact}\n";

class Guardian : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("guard");
    Daemon::Setup setup;
    setup.config = kConfig;
    daemon_ = std::make_unique<Daemon>(std::move(setup));
    ASSERT_TRUE(eventually([&] { return guardian() > 0; }));
  }
  void TearDown() override {
    stream_.reset();
    daemon_.reset();
    net_.reset();
  }

  [[nodiscard]] pid_t guardian() const {
    const json pid = daemon_->get("/health").body.value("guardian_pid", json());
    return pid.is_number() ? pid.get<pid_t>() : 0;
  }
  /// What tc shows of the device under attack: its clsact qdisc and the filters on both sides.
  [[nodiscard]] std::string tc() const {
    const std::string dev = "tc -n " + net_->left.name();
    return try_shell(dev + " qdisc show dev l0 | grep clsact; " + dev + " filter show dev l0 ingress; " + dev +
                     " filter show dev l0 egress")
        .output;
  }
  [[nodiscard]] json loss() const {
    json request = total_loss(net_->left);
    request["target"]["interface"] = "l0";
    return request;
  }
  /// 100 % loss on the stream, by two filters.
  std::string lose_all() {
    if (!stream_) {
      stream_ = std::make_unique<Stream>(Stream::End{net_->left, "10.77.0.1"}, Stream::End{net_->right, "10.77.0.2"},
                                         std::chrono::microseconds(200));
    }
    EXPECT_TRUE(stream_->first_arrival({}, seconds(5)));
    const std::string id = id_of(daemon_->run_scenario(loss()));
    EXPECT_TRUE(stream_->falls_silent(milliseconds(50), seconds(5)));
    EXPECT_THAT(tc(), HasSubstr("chaos_"));
    return id;
  }
  [[nodiscard]] bool on_record() const {
    return std::filesystem::exists(daemon_->runtime_dir() / "journal" / "changes.undo");
  }
  [[nodiscard]] std::string ctl(const std::string& verb) const {
    return std::string(CHAOS_BIN_DIR "/chaosctl --socket ") + daemon_->socket() + " " + verb;
  }
  static bool alive(pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    return std::getline(stat, text) && !text.substr(text.rfind(')')).starts_with(") Z");
  }
  void expect_clean_start() {
    daemon_->start();
    // The program of a filter that has just gone, and the switch with it, are freed behind a grace period.
    Response residue;
    EXPECT_TRUE(eventually([&] {
      residue = daemon_->get("/api/chaos/residue");
      return residue.body.value("clean", false);
    })) << residue.text;
  }
  /// What the audit says of undone changes, newest first; waits for `count` of them.
  [[nodiscard]] std::vector<std::string> undone(std::size_t count) const {
    std::vector<std::string> details;
    EXPECT_TRUE(eventually([&] {
      details.clear();
      const json entries = daemon_->get("/api/audit?limit=1000").body.at("entries");
      for (const json& entry : entries) {
        if (entry.value("action", "") == "undone") details.push_back(entry.value("detail", ""));
      }
      return details.size() >= count;
    })) << details.size();
    return details;
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(Guardian, AStopTakesFilterAndQdiscAway) {
  const std::string id = lose_all();
  EXPECT_TRUE(on_record());
  const json plan = daemon_->scenario(id).at("plan");
  EXPECT_EQ(plan.at("ownership"), "journaled") << plan.dump(1);
  EXPECT_THAT(plan.at("mechanism").get<std::string>(), HasSubstr("clsact"));
  const Response residue = daemon_->get("/api/chaos/residue");
  EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  const json ended = daemon_->stop_scenario(id);
  EXPECT_EQ(ended.at("state"), "completed");
  EXPECT_GT(ended.at("counters").at("injected").get<std::uint64_t>(), 0U);
  EXPECT_EQ(tc(), "");
  EXPECT_FALSE(on_record());
  const Response after = daemon_->get("/api/chaos/residue");
  EXPECT_TRUE(after.body.value("clean", false)) << after.text;
}

TEST_F(Guardian, KilledItIsInertAtOnceAndTheFiltersGo) {
  Timings inert;
  Timings gone;
  for (int round = 0; round < by_size(5, 100); ++round) {
    lose_all();
    const pid_t guardian_pid = guardian();
    const auto killed = steady_clock::now();
    daemon_->signal(SIGKILL);
    const auto arrival = stream_->first_arrival(killed, seconds(10));
    ASSERT_TRUE(arrival);
    inert.add(*arrival - killed);
    // tc itself takes some ms to start: the figure errs to the high side.
    ASSERT_TRUE(eventually([&] { return tc().empty(); })) << tc();
    gone.add(steady_clock::now() - killed);
    (void)daemon_->wait();
    EXPECT_TRUE(eventually([&] { return !on_record(); }));
    EXPECT_TRUE(eventually([&] { return !alive(guardian_pid); }));
    expect_clean_start();
    ASSERT_TRUE(eventually([&] { return guardian() > 0; }));
  }
  inert.report("kill -9 to the first packet");
  gone.report("kill -9 to no filter and no qdisc");
  EXPECT_LE(inert.percentile(99), 20 * time_scale() * by_size(10, 1));
  EXPECT_LE(gone.percentile(99), 500 * time_scale() * by_size(4, 1));
  const std::vector<std::string> entries = undone(3U * inert.count());
  for (const std::string& detail : entries) EXPECT_THAT(detail, HasSubstr("undone (by guardian)"));
}

TEST_F(Guardian, AHangEndsInUndoAndNothingComesBack) {
  const std::string id = lose_all();
  const auto stopped = steady_clock::now();
  daemon_->signal(SIGSTOP);
  const auto arrival = stream_->first_arrival(stopped + milliseconds(20), seconds(10));
  ASSERT_TRUE(eventually([&] { return tc().empty(); }, seconds(10)));
  const Timings::Milliseconds undone_after(steady_clock::now() - stopped);
  ASSERT_TRUE(arrival);
  const Timings::Milliseconds silent_after(*arrival - stopped);
  std::printf("[ MEASURED ] SIGSTOP: silent after %.0f ms, undone after %.0f ms\n", silent_after.count(),
              undone_after.count());
  EXPECT_LE(silent_after.count(), 1300 * time_scale());
  EXPECT_LE(undone_after.count(), 2000 * time_scale());
  daemon_->signal(SIGCONT);
  const json record = wait_for_end(*daemon_, id);
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_EQ(record.value("end_reason", ""), "lapsed");
  EXPECT_EQ(tc(), "");
  EXPECT_TRUE(eventually([&] { return !on_record(); }));
  EXPECT_GT(guardian(), 0);
  // And it is of use again.
  EXPECT_TRUE(eventually([&] { return daemon_->get("/health").body.value("status", "") == "ok"; }));
  EXPECT_EQ(daemon_->stop_scenario(lose_all()).at("state"), "completed");
}

TEST_F(Guardian, BothKilledTheOperatorUndoes) {
  lose_all();
  ASSERT_EQ(::kill(guardian(), SIGSTOP), 0);  // so that it cannot act between the two
  const pid_t guardian_pid = guardian();
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  ::kill(guardian_pid, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !alive(guardian_pid); }));
  EXPECT_THAT(tc(), HasSubstr("chaos_"));
  // Left, but inert.
  EXPECT_TRUE(stream_->first_arrival(steady_clock::now(), seconds(5)));
  const Outcome residue = try_shell(ctl("residue --instance " + daemon_->instance()));
  EXPECT_EQ(residue.status, 1);
  EXPECT_THAT(residue.output, HasSubstr("journal"));
  EXPECT_THAT(residue.output, HasSubstr("qdisc"));

  const Outcome look = try_shell(ctl("undo --dry-run"));
  EXPECT_EQ(look.status, 0) << look.output;
  EXPECT_THAT(look.output, HasSubstr("tc filter on ifindex"));
  EXPECT_THAT(tc(), HasSubstr("chaos_"));
  const Outcome done = try_shell(ctl("undo"));
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_EQ(tc(), "");
  EXPECT_THAT(try_shell(ctl("undo")).output, HasSubstr("Nothing to undo"));
  expect_clean_start();
}

TEST_F(Guardian, BothKilledTheNextStartUndoes) {
  lose_all();
  const pid_t guardian_pid = guardian();
  ASSERT_EQ(::kill(guardian_pid, SIGSTOP), 0);
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  ::kill(guardian_pid, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !alive(guardian_pid); }));
  EXPECT_THAT(tc(), HasSubstr("chaos_"));
  expect_clean_start();
  EXPECT_EQ(tc(), "");
  const auto entries = undone(3);
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_THAT(entries.front(), HasSubstr("by chaosd at its start"));
}

TEST_F(Guardian, OfAnEarlierChaosdItLeavesTheNextOnesChangesAlone) {
  const pid_t late = guardian();
  ASSERT_EQ(::kill(late, SIGSTOP), 0);
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  daemon_->start();
  ASSERT_TRUE(eventually([&] { return guardian() > 0; }));
  const std::string id = lose_all();
  // It wakes up, finds its chaosd dead, and a journal that is not its own.
  ASSERT_EQ(::kill(late, SIGCONT), 0);
  ASSERT_TRUE(eventually([&] { return !alive(late); }));
  EXPECT_THAT(tc(), HasSubstr("chaos_"));
  EXPECT_TRUE(on_record());
  EXPECT_TRUE(stream_->falls_silent(milliseconds(50), seconds(1)));
  EXPECT_EQ(daemon_->stop_scenario(id).at("state"), "completed");
}

TEST_F(Guardian, KilledAloneItIsBackWithinASecond) {
  const pid_t first = guardian();
  // Held still, it cannot be back before the refusal has been seen.
  const auto killed = steady_clock::now();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return guardian() == 0; }, seconds(1)) || guardian() != first);
  std::optional<Response> refused;
  if (guardian() == 0) refused = daemon_->post("/api/chaos/scenarios", loss());
  ASSERT_TRUE(eventually([&] { return guardian() > 0 && guardian() != first; }, seconds(5)));
  const Timings::Milliseconds took(steady_clock::now() - killed);
  std::printf("[ MEASURED ] a killed guardian is back after %.0f ms\n", took.count());
  EXPECT_LE(took.count(), 1000 * time_scale());
  ASSERT_TRUE(refused) << "the gap was not seen";
  EXPECT_EQ(refused->status, 503) << refused->text;
  EXPECT_THAT(refused->body.value("detail", ""), HasSubstr("guardian"));
  EXPECT_EQ(tc(), "");
  EXPECT_EQ(daemon_->stop_scenario(lose_all()).at("state"), "completed");
}

TEST_F(Guardian, StoppedItIsNotReliedOnAndReplaced) {
  const auto stop_it = [&] {
    const pid_t pid = guardian();
    EXPECT_EQ(::kill(pid, SIGSTOP), 0);
    EXPECT_TRUE(eventually([&] { return guardian() == 0; }, seconds(5)));
    return pid;
  };
  const auto replaced = [&](pid_t old) { return guardian() > 0 && guardian() != old && !alive(old); };

  const auto stopped = steady_clock::now();
  pid_t old = stop_it();
  const Response refused = daemon_->post("/api/chaos/scenarios", loss());
  EXPECT_EQ(refused.status, 503) << refused.text;
  EXPECT_THAT(refused.body.value("detail", ""), HasSubstr("guardian"));
  ASSERT_TRUE(eventually([&] { return replaced(old); }, seconds(10)));
  report_figure("a stopped guardian is replaced after",
                std::chrono::duration<double>(steady_clock::now() - stopped).count(), "s");

  // What was on record before is the next one's to undo.
  const std::string id = lose_all();
  old = stop_it();
  ASSERT_TRUE(eventually([&] { return replaced(old); }, seconds(10)));
  EXPECT_EQ(daemon_->scenario(id).at("state"), "active");
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  EXPECT_TRUE(eventually([&] { return tc().empty() && !on_record(); })) << tc();
}

TEST_F(Guardian, OneThatWasHeldUpForAMomentStays) {
  const pid_t first = guardian();
  ASSERT_EQ(::kill(first, SIGSTOP), 0);
  ASSERT_TRUE(eventually([&] { return guardian() == 0; }, seconds(5)));
  ASSERT_EQ(::kill(first, SIGCONT), 0);
  EXPECT_TRUE(eventually([&] { return guardian() == first; }, seconds(5)));
  EXPECT_EQ(daemon_->stop_scenario(lose_all()).at("state"), "completed");
}

TEST_F(Guardian, OthersFiltersStay) {
  const std::string tc_left = "tc -n " + net_->left.name();
  lose_all();
  // Somebody hangs a filter of theirs on the qdisc that chaosd brought.
  shell(tc_left + " filter add dev l0 egress prio 77 protocol all bpf bytecode '1,6 0 0 0'");
  daemon_->signal(SIGKILL);
  (void)daemon_->wait();
  ASSERT_TRUE(eventually([&] { return !on_record(); }));
  EXPECT_THAT(tc(), testing::AllOf(HasSubstr("clsact"), HasSubstr("pref 77"), testing::Not(HasSubstr("chaos_"))));
  daemon_->start();
  EXPECT_THAT(undone(3), testing::Contains(HasSubstr("clsact qdisc on ifindex")));
  EXPECT_THAT(undone(3), testing::Contains(HasSubstr("conflict, filters of others")));

  // And one that was there before: its qdisc is not ours to take, and our place is another.
  ASSERT_TRUE(eventually([&] { return guardian() > 0; }));
  const std::string id = lose_all();
  EXPECT_THAT(tc(), HasSubstr("pref 77"));
  daemon_->stop_scenario(id);
  EXPECT_THAT(tc(), testing::AllOf(HasSubstr("clsact"), HasSubstr("pref 77"), testing::Not(HasSubstr("chaos_"))));
}

TEST_F(Guardian, EmergencyStopOfAStoppedDaemonUndoesToo) {
  lose_all();
  daemon_->signal(SIGSTOP);
  const Outcome stop = try_shell(ctl("emergency-stop --state-dir " + daemon_->state_dir().string()));
  EXPECT_EQ(stop.status, 0) << stop.output;
  EXPECT_EQ(tc(), "") << stop.output;
  (void)daemon_->wait();
  EXPECT_TRUE(eventually([&] { return !on_record(); }));
}

TEST_F(Guardian, IsSmallAndHoldsNoBpf) {
  const pid_t pid = guardian();
  EXPECT_TRUE(bpf_objects_of(pid).empty());
  std::size_t descriptors = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    ++descriptors;
  }
  // Standard streams, pidfd, heartbeat.
  EXPECT_LE(descriptors, 5U);
  std::ifstream rollup("/proc/" + std::to_string(pid) + "/smaps_rollup");
  double private_kb = 0;
  for (std::string line; std::getline(rollup, line);) {
    if (line.starts_with("Private_")) private_kb += std::stod(line.substr(line.find(':') + 1));
  }
  report_figure("private memory of the guardian", private_kb, "kB");
  EXPECT_GT(private_kb, 0);
  EXPECT_LE(private_kb, 2048);
  const auto before = cpu_time(pid);
  std::this_thread::sleep_for(seconds(2));  // a span to divide by
  const double share = std::chrono::duration<double>(cpu_time(pid) - before).count() / 2;
  report_figure("CPU of the guardian", share * 100, "percent of a core");
  EXPECT_LE(share, 0.01);
}

}  // namespace
}  // namespace chaos::test
