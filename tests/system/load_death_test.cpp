// What load workers took when chaosd dies, hangs or is told to stop: it is back, and no worker is left. Observers:
// /proc, the cgroup's files, statvfs(3), the device's statistics.
#include <gmock/gmock.h>

#include <array>
#include <csignal>
#include <memory>
#include <thread>

#include "ends.h"
#include "support/daemon.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/loads.h"
#include "support/loop_file_system.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

enum class Takes { kCpu, kMemory, kRoom, kWrites };
using Case = std::tuple<Takes, Phase>;

constexpr std::array<const char*, 4> kTakes{"Cpu", "Memory", "Room", "Writes"};
constexpr double kMebi = 1024 * 1024;

/// A cgroup or a disk, and a chaosd that takes most of it.
class LoadBed {
 public:
  explicit LoadBed(Takes takes) : takes_(takes) {
    if (takes == Takes::kRoom || takes == Takes::kWrites) {
      disk_ = std::make_unique<LoopFileSystem>(512);
      left_before_ = disk_->left();
    } else {
      cgroup_ = std::make_unique<LimitedCgroup>(takes == Takes::kCpu ? "cpu" : "memory");
      if (takes == Takes::kMemory) limit_memory(*cgroup_, static_cast<std::uint64_t>(384 * kMebi));
      cgroup_->add(member_.pid());
    }
    daemon = std::make_unique<Daemon>();
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
    json parameters;
    switch (takes_) {
      case Takes::kCpu:
        parameters = {{"resource", "cpu"}, {"mode", "load"}, {"level", "30%"}};
        break;
      case Takes::kMemory:
        parameters = {{"resource", "memory"}, {"mode", "pressure"}, {"level", "90%"}};
        break;
      case Takes::kRoom:
        parameters = {{"resource", "disk"}, {"mode", "fill"}, {"level", "100%"}, {"path", disk_->root().string()}};
        break;
      case Takes::kWrites:
        parameters = {{"resource", "disk"}, {"mode", "io_load"}, {"rate", "4MBps"}, {"path", disk_->root().string()}};
        break;
    }
    const json target = cgroup_ ? json{{"cgroup", cgroup_->cgroup().path()}} : json{{"host", "localhost"}};
    return {{"kind", "resource_exhaustion"}, {"target", target}, {"parameters", parameters}, {"duration", duration}};
  }
  std::string take(const std::string& duration = "1m") const {
    const std::string id = id_of(daemon->run_scenario(request(duration)));
    if (!eventually([&] { return taken(); })) throw std::runtime_error("nothing is taken");
    return id;
  }
  [[nodiscard]] bool taken() const {
    const std::set<pid_t> workers = load_workers(daemon->instance());
    if (workers.empty()) return false;
    switch (takes_) {
      case Takes::kCpu:
        return cpu_time(*workers.begin()) > milliseconds(200);
      case Takes::kMemory:
        return memory_used(*cgroup_) > 300 * kMebi;
      case Takes::kRoom:
        return disk_->used_share() > 0.99;
      case Takes::kWrites:
        break;
    }
    const std::uint64_t before = disk_->device_written();
    return eventually([&] { return disk_->device_written() > before + 4096; }, seconds(1));
  }
  [[nodiscard]] bool as_before() const {
    if (!load_workers(daemon->instance()).empty()) return false;
    if (takes_ == Takes::kMemory) return memory_used(*cgroup_) < 32 * kMebi;
    return !disk_ || disk_->left() == left_before_;
  }
  /// Waits for that; since `since`.
  [[nodiscard]] Timings::Milliseconds time_to_as_before(steady_clock::time_point since) const {
    // A worker that was being made when chaosd was killed finds out when it looks: only what lasts counts.
    auto free_since = steady_clock::now();
    const bool freed = eventually(
        [&] {
          if (!as_before()) free_since = steady_clock::now();
          return steady_clock::now() - free_since > milliseconds(300);
        },
        seconds(20));
    EXPECT_TRUE(freed) << "still taken";
    return std::max(Timings::Milliseconds(0), Timings::Milliseconds(free_since - since));
  }
  void expect_as_before() const {
    EXPECT_TRUE(as_before());
    EXPECT_TRUE(exists(member_.pid()));
  }

  std::unique_ptr<Daemon> daemon;

 private:
  const Takes takes_;
  Child member_{"/bin/sleep", {"sleep", "1000"}};
  std::unique_ptr<LimitedCgroup> cgroup_;
  std::unique_ptr<LoopFileSystem> disk_;
  std::uint64_t left_before_ = 0;
};

class LoadKilled : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(LoadKilled, WhatWasTakenIsBackAtOnce) {
  const auto [takes, phase] = GetParam();
  LoadBed bed(takes);
  expect_ends_when_killed(
      bed, phase, by_size(3, 25), [&] { return bed.take(); }, kTakes[static_cast<std::size_t>(takes)]);
}

INSTANTIATE_TEST_SUITE_P(All, LoadKilled,
                         testing::Combine(testing::Values(Takes::kCpu, Takes::kMemory, Takes::kRoom, Takes::kWrites),
                                          testing::Values(Phase::kStarting, Phase::kActive, Phase::kStopping)),
                         [](const auto& param) {
                           return std::string(kTakes[static_cast<std::size_t>(std::get<0>(param.param))]) +
                                  name_of(std::get<1>(param.param));
                         });

class Load : public testing::TestWithParam<Takes> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(Load, AHangOfChaosdEndsItAndNothingComesBack) {
  LoadBed bed(GetParam());
  expect_ends_with_a_hang(bed, bed.take());
}

TEST_P(Load, TheDeadlineEndsIt) {
  LoadBed bed(GetParam());
  expect_ends_in_time(bed, 3, [&] { return bed.taken(); });
}

TEST_P(Load, TheEmergencyStopEndsIt) {
  LoadBed bed(GetParam());
  expect_ends_with_the_emergency_stop(bed, bed.take());
}

TEST_P(Load, BothKilledNothingStaysAndTheNextStartIsClean) {
  LoadBed bed(GetParam());
  (void)bed.take();
  const pid_t guardian = bed.guardian();
  ASSERT_EQ(::kill(guardian, SIGSTOP), 0);  // so that it cannot act between the two
  const auto killed = steady_clock::now();
  bed.daemon->signal(SIGKILL);
  ::kill(guardian, SIGKILL);
  report_figure("both killed to as before", bed.time_to_as_before(killed).count(), "ms");
  (void)bed.daemon->wait();
  bed.daemon->start();
  bed.expect_as_before();
  EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
}

TEST_P(Load, AnOrderlyEndOfChaosdEndsIt) {
  LoadBed bed(GetParam());
  (void)bed.take();
  EXPECT_EQ(bed.daemon->stop(), 0);
  bed.expect_as_before();
}

INSTANTIATE_TEST_SUITE_P(All, Load, testing::Values(Takes::kCpu, Takes::kMemory, Takes::kRoom, Takes::kWrites),
                         [](const auto& param) { return kTakes[static_cast<std::size_t>(param.param)]; });

}  // namespace
}  // namespace chaos::test
