// A restart loop when chaosd dies, hangs or is told to stop: the component is up, and is not struck again. Observer:
// who starts it again, and writes down each time that it does.
#include <gmock/gmock.h>

#include <array>
#include <csignal>
#include <thread>

#include "death_phases.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/requests.h"
#include "support/supervised.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// A supervised process, struck once a second.
class CrashBed {
 public:
  CrashBed() {
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, scenarios: {component_failure: "
        "{target_services: [victim]}}}\nservices: {victim: {pid_file: " +
        service.pid_file() + "}}\n";
    daemon = std::make_unique<Daemon>(std::move(setup));
  }
  static json request(const std::string& duration = "1m") {
    return {{"kind", "component_failure"},
            {"target", {{"service", "victim"}}},
            {"parameters", {{"failure_type", "crash"}, {"every", "1s"}}},
            {"duration", duration}};
  }
  /// Until the first crash and the start after it.
  std::string crash(const std::string& duration = "1m") const {
    const std::size_t before = service.pids().size();
    const std::string id = id_of(daemon->run_scenario(request(duration)));
    if (!eventually([&] { return service.pids().size() > before; }, seconds(20))) throw std::runtime_error("no crash");
    return id;
  }
  /// From `since` until the process that runs had been started, for it lives on: two turns of the loop would be over.
  [[nodiscard]] Timings::Milliseconds last_start_after(steady_clock::time_point since) const {
    auto started = since;
    std::size_t count = service.pids().size();
    const bool quiet = eventually(
        [&] {
          if (const std::size_t now = service.pids().size(); now != count || !exists(service.pids().back())) {
            count = now;
            started = steady_clock::now();
          }
          return steady_clock::now() - started > milliseconds(2500);
        },
        seconds(20));
    EXPECT_TRUE(quiet) << "it is struck again and again";
    return std::max(Timings::Milliseconds(0), Timings::Milliseconds(started - since));
  }

  Supervised service;
  std::unique_ptr<Daemon> daemon;
};

class CrashKilled : public testing::TestWithParam<Phase> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(CrashKilled, NothingIsStruckAgain) {
  const CrashBed bed;
  Timings timings;
  const int rounds = by_size(2, 25);
  for (int round = 0; round < rounds; ++round) {
    std::string id;
    if (GetParam() != Phase::kStarting) id = bed.crash();
    {
      const Struck struck = kill_in(GetParam(), round, *bed.daemon, CrashBed::request(), id);
      timings.add(bed.last_start_after(struck.at));
    }
    (void)bed.daemon->wait();
    EXPECT_TRUE(exists(bed.service.pids().back()));
    EXPECT_TRUE(exists(bed.service.supervisor()));
    bed.daemon->start();
    EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
  }
  timings.report("kill -9 to the last start of a crashed component");
  timings.print_histogram();
  EXPECT_LE(timings.max(), 200 * time_scale() * by_size(5, 1));
}

INSTANTIATE_TEST_SUITE_P(All, CrashKilled, testing::Values(Phase::kStarting, Phase::kActive, Phase::kStopping),
                         [](const auto& param) { return name_of(param.param); });

class Crash : public testing::Test {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_F(Crash, AHangOfChaosdEndsTheLoop) {
  const CrashBed bed;
  const std::string id = bed.crash();
  const auto stopped = steady_clock::now();
  bed.daemon->signal(SIGSTOP);
  const auto took = bed.last_start_after(stopped);
  report_figure("SIGSTOP to the last start", took.count(), "ms");
  EXPECT_LE(took.count(), 2000 * time_scale());
  bed.daemon->signal(SIGCONT);
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "lapsed");
  EXPECT_LE(bed.last_start_after(steady_clock::now()).count(), 0);
}

TEST_F(Crash, TheDeadlineAndTheEmergencyStopEndTheLoop) {
  const CrashBed bed;
  const std::string expired = bed.crash("1500ms");
  EXPECT_EQ(wait_for_end(*bed.daemon, expired).value("end_reason", ""), "expired");
  EXPECT_LE(bed.last_start_after(steady_clock::now()).count(), 200 * time_scale() * by_size(3, 1));
  const std::string id = bed.crash();
  EXPECT_EQ(bed.daemon->post("/api/chaos/emergency-stop").status, 200);
  EXPECT_LE(bed.last_start_after(steady_clock::now()).count(), 200 * time_scale() * by_size(3, 1));
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "emergency_stop");
}

TEST_F(Crash, BothKilledTheNextStartStrikesNobody) {
  const CrashBed bed;
  (void)bed.crash();
  json pid;
  ASSERT_TRUE(eventually([&] {
    pid = bed.daemon->get("/health").body.value("guardian_pid", json());
    return pid.is_number();
  }));
  const auto guardian = pid.get<pid_t>();
  ASSERT_EQ(::kill(guardian, SIGSTOP), 0);
  bed.daemon->signal(SIGKILL);
  (void)bed.daemon->wait();
  ::kill(guardian, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !exists(guardian); }));
  bed.daemon->start();
  EXPECT_LE(bed.last_start_after(steady_clock::now()).count(), 200 * time_scale() * by_size(3, 1));
  EXPECT_TRUE(exists(bed.service.pids().back()));
}

}  // namespace
}  // namespace chaos::test
