// A component that is halted or throttled when chaosd dies, hangs or is told to stop: it goes on at once, and its
// cgroup is as it was. Observers: cgroup.events and the values of the cgroup, /proc, a process that counts.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <fstream>
#include <memory>
#include <thread>

#include "support/cgroup.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

enum class By { kCgroup, kProcess, kSlices, kQuota };
enum class Phase { kStarting, kActive, kStopping };
using Case = std::tuple<By, Phase>;

constexpr std::array<const char*, 4> kBys{"Cgroup", "Process", "Slices", "Quota"};
constexpr std::array<const char*, 3> kPhases{"Starting", "Active", "Stopping"};

/// A cgroup with two processes, one of them the other's child, and a chaosd that halts them.
class HaltBed {
 public:
  explicit HaltBed(By by) : by_(by) {
    limited.add(busy.pid());
    quota_ = quota();
    Daemon::Setup setup;
    setup.config = "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n";
    daemon = std::make_unique<Daemon>(std::move(setup));
    wait_for_guardian();
  }
  void wait_for_guardian() const {
    if (!eventually([&] { return guardian() > 0; })) throw std::runtime_error("no guardian");
  }
  [[nodiscard]] pid_t guardian() const {
    const json pid = daemon->get("/health").body.value("guardian_pid", json());
    return pid.is_number() ? pid.get<pid_t>() : 0;
  }
  [[nodiscard]] json request(const std::string& duration = "1m") const {
    if (by_ == By::kQuota) {
      return {{"kind", "resource_exhaustion"},
              {"target", {{"cgroup", cgroup.path()}}},
              {"parameters", {{"resource", "cpu"}, {"mode", "throttle"}, {"level", "90%"}}},
              {"duration", duration}};
    }
    json parameters{{"failure_type", by_ == By::kSlices ? "slow_response" : "hang"}};
    if (by_ == By::kSlices) parameters["frozen"] = "90%";
    const json target =
        by_ == By::kProcess ? json{{"pid", std::to_string(busy.pid())}} : json{{"cgroup", cgroup.path()}};
    return {{"kind", "component_failure"}, {"target", target}, {"parameters", parameters}, {"duration", duration}};
  }
  std::string halt(const std::string& duration = "1m") const {
    const std::string id = id_of(daemon->run_scenario(request(duration)));
    if (!eventually([&] { return halted(); })) throw std::runtime_error("nothing is halted");
    return id;
  }
  [[nodiscard]] std::string quota() const { return limited.value(limited.v2() ? "cpu.max" : "cpu.cfs_quota_us"); }
  [[nodiscard]] bool halted() const {
    if (by_ == By::kQuota) return quota() != quota_;
    return by_ == By::kProcess ? is_stopped(busy.pid()) : is_frozen(cgroup);
  }
  /// As before: nothing stands still, and nothing is written that was not.
  [[nodiscard]] bool as_before() const {
    return !is_frozen(cgroup) && value_of(cgroup, "cgroup.freeze") == "0" && quota() == quota_ &&
           !is_stopped(busy.pid());
  }
  /// Waits for that; since `since`.
  [[nodiscard]] Timings::Milliseconds time_to_as_before(steady_clock::time_point since) const {
    // Slices let go for moments: only what lasts counts.
    auto free_since = steady_clock::now();
    const bool freed = eventually(
        [&] {
          if (!as_before()) free_since = steady_clock::now();
          return steady_clock::now() - free_since > milliseconds(300);
        },
        seconds(20));
    EXPECT_TRUE(freed) << "still halted";
    return std::max(Timings::Milliseconds(0), Timings::Milliseconds(free_since - since));
  }
  [[nodiscard]] bool on_record() const {
    return std::filesystem::exists(daemon->runtime_dir() / "journal" / "changes.undo");
  }
  void expect_as_before() const {
    EXPECT_TRUE(as_before());
    EXPECT_TRUE(busy.works_within(seconds(10)));
    EXPECT_TRUE(eventually([&] { return !on_record(); }));
  }

  LimitedCgroup limited{"cpu"};
  const TestCgroup& cgroup = limited.cgroup();
  Busy busy{cgroup};
  std::unique_ptr<Daemon> daemon;

 private:
  By by_;
  std::string quota_;
};

class HaltKilled : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(HaltKilled, TheTargetGoesOnAtOnce) {
  const auto [by, phase] = GetParam();
  HaltBed bed(by);
  Timings timings;
  const int rounds = by_size(3, 25);
  for (int round = 0; round < rounds; ++round) {
    std::string id;
    if (phase != Phase::kStarting) id = bed.halt();
    // In the two that are about a moment, the request is under way when the signal comes: a little later each time.
    std::thread request;
    if (phase == Phase::kStarting) {
      request = std::thread([&] { (void)bed.daemon->post("/api/chaos/scenarios", bed.request()); });
    } else if (phase == Phase::kStopping) {
      request = std::thread([&] { (void)bed.daemon->post("/api/chaos/scenarios/" + id + "/stop"); });
    }
    if (request.joinable()) std::this_thread::sleep_for(std::chrono::microseconds(1000 * round));
    const auto killed = steady_clock::now();
    bed.daemon->signal(SIGKILL);
    timings.add(bed.time_to_as_before(killed));
    if (request.joinable()) request.join();
    (void)bed.daemon->wait();
    bed.expect_as_before();
    bed.daemon->start();
    EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
    bed.wait_for_guardian();
  }
  timings.report(std::string("kill -9 to as before, ") + kBys[static_cast<std::size_t>(by)] + ", " +
                 kPhases[static_cast<std::size_t>(phase)]);
  timings.print_histogram();
  EXPECT_LE(timings.max(), 200 * time_scale() * by_size(5, 1));
}

INSTANTIATE_TEST_SUITE_P(All, HaltKilled,
                         testing::Combine(testing::Values(By::kCgroup, By::kProcess, By::kSlices, By::kQuota),
                                          testing::Values(Phase::kStarting, Phase::kActive, Phase::kStopping)),
                         [](const auto& param) {
                           return std::string(kBys[static_cast<std::size_t>(std::get<0>(param.param))]) +
                                  kPhases[static_cast<std::size_t>(std::get<1>(param.param))];
                         });

class Halt : public testing::TestWithParam<By> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(Halt, AHangOfChaosdEndsItAndNothingComesBack) {
  HaltBed bed(GetParam());
  const std::string id = bed.halt();
  const auto stopped = steady_clock::now();
  bed.daemon->signal(SIGSTOP);
  const auto took = bed.time_to_as_before(stopped);
  report_figure("SIGSTOP to as before", took.count(), "ms");
  EXPECT_LE(took.count(), 2000 * time_scale());
  bed.daemon->signal(SIGCONT);
  const json record = wait_for_end(*bed.daemon, id);
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_EQ(record.value("end_reason", ""), "lapsed");
  bed.expect_as_before();
}

TEST_P(Halt, TheDeadlineEndsIt) {
  HaltBed bed(GetParam());
  const auto began = steady_clock::now();
  const std::string id = id_of(bed.daemon->run_scenario(bed.request("1s")));
  EXPECT_TRUE(eventually([&] { return bed.halted(); }));
  const auto took = bed.time_to_as_before(began);
  report_figure("a deadline of 1 s", took.count(), "ms");
  EXPECT_GE(took.count(), 900);
  EXPECT_LE(took.count(), 1200 * time_scale() * by_size(2, 1));
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "expired");
  bed.expect_as_before();
}

TEST_P(Halt, TheEmergencyStopEndsIt) {
  HaltBed bed(GetParam());
  const std::string id = bed.halt();
  const auto pulled = steady_clock::now();
  EXPECT_EQ(bed.daemon->post("/api/chaos/emergency-stop").status, 200);
  const auto took = bed.time_to_as_before(pulled);
  report_figure("emergency stop to as before", took.count(), "ms");
  EXPECT_LE(took.count(), 200 * time_scale() * by_size(3, 1));
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "emergency_stop");
  EXPECT_EQ(bed.daemon->post("/api/chaos/scenarios", bed.request()).status, 409);
  bed.expect_as_before();
}

TEST_P(Halt, BothKilledTheNextStartEndsIt) {
  HaltBed bed(GetParam());
  (void)bed.halt();
  const pid_t guardian = bed.guardian();
  ASSERT_EQ(::kill(guardian, SIGSTOP), 0);  // so that it cannot act between the two
  bed.daemon->signal(SIGKILL);
  (void)bed.daemon->wait();
  ::kill(guardian, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !exists(guardian); }));
  EXPECT_TRUE(bed.on_record());
  const auto started = steady_clock::now();
  bed.daemon->start();
  report_figure("start to as before", bed.time_to_as_before(started).count(), "ms");
  bed.expect_as_before();
  EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
}

TEST_P(Halt, AnOrderlyEndOfChaosdEndsIt) {
  HaltBed bed(GetParam());
  (void)bed.halt();
  EXPECT_EQ(bed.daemon->stop(), 0);
  bed.expect_as_before();
}

INSTANTIATE_TEST_SUITE_P(All, Halt, testing::Values(By::kCgroup, By::kProcess, By::kSlices, By::kQuota),
                         [](const auto& param) { return kBys[static_cast<std::size_t>(param.param)]; });

}  // namespace
}  // namespace chaos::test
