// HaltBed: a process in a cgroup, a chaosd, and one of the ways to halt or to starve it: what the tests of how that
// ends have in common. What is looked at is what the kernel says of the cgroup and of the process.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/cgroup.h"
#include "support/daemon.h"
#include "support/disk.h"
#include "support/halted.h"
#include "support/limited.h"
#include "support/requests.h"
#include "support/text_file.h"
#include "support/timings.h"

namespace chaos::test {

enum class By { kCgroup, kProcess, kPlace, kPulses, kSlices, kSlow, kQuota, kTasks, kFiles, kMemory, kDisk };
constexpr std::array kAllBys{By::kCgroup, By::kProcess, By::kPlace, By::kPulses, By::kSlices, By::kSlow,
                             By::kQuota,  By::kTasks,   By::kFiles, By::kMemory, By::kDisk};
constexpr std::array<const char*, 11> kByNames{"Cgroup", "Process", "Place", "Pulses", "Slices", "Slow",
                                               "Quota",  "Tasks",   "Files", "Memory", "Disk"};
[[nodiscard]] constexpr const char* name_of(By by) { return kByNames.at(static_cast<std::size_t>(by)); }

class HaltBed {
 public:
  using Clock = std::chrono::steady_clock;

  explicit HaltBed(By by) : by_(by), limited(controller(by), by == By::kDisk ? "blkio" : "") {
    limited.add(busy.pid());
    if (by == By::kDisk) disk_ = std::make_unique<LoopDisk>(1 << 20);
    if (by == By::kPlace && V1Freezer::available()) {
      place_ = std::make_unique<V1Freezer>("place");
      place_->add(busy.pid());
    }
    before_ = state();
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, scenarios: {component_failure: "
        "{target_services: [victim]}}}\nservices: {victim: {cgroup: " +
        (place_ ? place_->path() : cgroup.path()) + "}}\n";
    daemon = std::make_unique<Daemon>(std::move(setup));
    wait_for_guardian();
  }
  void wait_for_guardian() const {
    if (!eventually([&] { return guardian() > 0; })) throw std::runtime_error("no guardian");
  }
  [[nodiscard]] pid_t guardian() const {
    const nlohmann::json pid = daemon->get("/health").body.value("guardian_pid", nlohmann::json());
    return pid.is_number() ? pid.get<pid_t>() : 0;
  }
  /// v1 has no such limit: it is refused there, and that is all that can be tested.
  [[nodiscard]] bool possible() const { return by_ != By::kMemory || limited.v2(); }
  void expect_refused() const {
    EXPECT_EQ(daemon->post("/api/chaos/scenarios", request()).status, 501);
    EXPECT_TRUE(as_before());
  }

  [[nodiscard]] nlohmann::json request(const std::string& duration = "1m") const {
    const bool starved =
        by_ == By::kQuota || by_ == By::kTasks || by_ == By::kFiles || by_ == By::kMemory || by_ == By::kDisk;
    return {{"kind", starved ? "resource_exhaustion" : "component_failure"},
            {"target", target()},
            {"parameters", parameters()},
            {"duration", duration}};
  }
  std::string halt(const std::string& duration = "1m") const {
    const std::string id = id_of(daemon->run_scenario(request(duration)));
    if (!eventually([&] { return !as_before(); })) throw std::runtime_error("nothing is halted");
    return id;
  }
  /// Nothing stands still, and nothing is written that was not.
  [[nodiscard]] bool as_before() const { return state() == before_; }
  /// Waits for that; since `since`.
  [[nodiscard]] Timings::Milliseconds time_to_as_before(Clock::time_point since) const {
    // Pulses let go for moments: only what lasts counts.
    auto free_since = Clock::now();
    const bool freed = eventually(
        [&] {
          if (!as_before()) free_since = Clock::now();
          return Clock::now() - free_since > std::chrono::milliseconds(300);
        },
        std::chrono::seconds(20));
    EXPECT_TRUE(freed) << "still " << state() << ", and not " << before_;
    return std::max(Timings::Milliseconds(0), Timings::Milliseconds(free_since - since));
  }
  [[nodiscard]] bool on_record() const {
    return std::filesystem::exists(daemon->runtime_dir() / "journal" / "changes.undo");
  }
  /// What somebody else wants of the same thing: how they set it, and whether it is as they have set it.
  struct Theirs {
    std::function<void()> set;
    std::function<bool()> holds;
  };
  [[nodiscard]] Theirs somebody_else() const {
    const auto value = [this](const std::string& file, const std::string& text, const std::string& reads = {}) {
      return Theirs{[this, file, text] { limited.set(file, text); },
                    [this, file, reads = reads.empty() ? text : reads] { return limited.value(file).contains(reads); }};
    };
    switch (by_) {
      case By::kProcess:
        return {[this] { ::kill(busy.pid(), SIGCONT); }, [this] { return !is_stopped(busy.pid()); }};
      case By::kSlow:
      case By::kQuota:
        return limited.v2() ? value("cpu.max", "31000 100000") : value("cpu.cfs_quota_us", "31000");
      case By::kTasks:
        return value("pids.max", "77");
      case By::kFiles:
        return {[this] {
                  const rlimit wanted{33, fd_limit().rlim_max};
                  ::prlimit(busy.pid(), RLIMIT_NOFILE, &wanted, nullptr);
                },
                [this] { return fd_limit().rlim_cur == 33; }};
      case By::kMemory:
        return value("memory.high", "134217728");
      case By::kDisk:
        return limited.v2() ? value("io.max", disk_->numbers() + " wbps=7777777", "rbps=max wbps=7777777")
                            : value("blkio.throttle.write_bps_device", disk_->numbers() + " 7777777");
      default:
        break;
    }
    if (place_) {
      return {[this] { write_to(place_->directory() / "freezer.state", "THAWED"); },
              [this] { return place_->state() == "THAWED"; }};
    }
    return {[this] { write_to(cgroup.directory() / "cgroup.freeze", "0"); },
            [this] { return value_of(cgroup, "cgroup.freeze") == "0"; }};
  }

  void expect_as_before() const {
    EXPECT_EQ(state(), before_);
    EXPECT_TRUE(busy.works_within(std::chrono::seconds(10)));
    EXPECT_TRUE(eventually([&] { return !on_record(); }));
  }

 private:
  static std::string controller(By by) {
    if (by == By::kTasks) return "pids";
    if (by == By::kMemory) return "memory";
    return by == By::kDisk ? "io" : "cpu";
  }
  [[nodiscard]] nlohmann::json target() const {
    if (by_ == By::kProcess || by_ == By::kFiles) return {{"pid", std::to_string(busy.pid())}};
    if (by_ == By::kPlace) return {{"service", "victim"}};
    return {{"cgroup", cgroup.path()}};
  }
  [[nodiscard]] nlohmann::json parameters() const {
    switch (by_) {
      case By::kPulses:
        return {{"failure_type", "hang"}, {"pulse_on", "400ms"}, {"pulse_off", "100ms"}};
      case By::kSlices:
        return {{"failure_type", "slow_response"}, {"frozen", "90%"}};
      case By::kSlow:
        return {{"failure_type", "slow_response"}, {"by", "throttle"}, {"frozen", "90%"}};
      case By::kQuota:
        return {{"resource", "cpu"}, {"mode", "throttle"}, {"level", "90%"}};
      case By::kTasks:
        return {{"resource", "pids"}, {"mode", "limit"}, {"level", "50%"}};
      case By::kFiles:
        return {{"resource", "fds"}, {"mode", "limit"}, {"level", "50%"}};
      case By::kMemory:
        return {{"resource", "memory"}, {"mode", "limit"}, {"level", "50%"}};
      case By::kDisk:
        return {{"resource", "disk"}, {"mode", "throttle"}, {"path", disk_->device()}, {"rate", "1MBps"}};
      default:
        return {{"failure_type", "hang"}};
    }
  }
  /// All that any of them changes, as text.
  [[nodiscard]] std::string state() const {
    std::string text = is_frozen(cgroup) ? "frozen " : "runs ";
    text += value_of(cgroup, "cgroup.freeze") + (is_stopped(busy.pid()) ? " stopped" : " goes on");
    if (place_) text += " " + place_->state();
    for (const char* file : {"cpu.max", "cpu.cfs_quota_us", "pids.max", "memory.high", "io.max",
                             "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"}) {
      text += " " + limited.value(file);
    }
    return text + " " + std::to_string(fd_limit().rlim_cur) + " of " + std::to_string(fd_limit().rlim_max);
  }
  [[nodiscard]] rlimit fd_limit() const {
    rlimit files{};
    ::prlimit(busy.pid(), RLIMIT_NOFILE, nullptr, &files);
    return files;
  }

  By by_;

 public:
  LimitedCgroup limited;
  const TestCgroup& cgroup = limited.cgroup();
  Busy busy{cgroup, by_ != By::kTasks};  // where no fork succeeds a shell ends
  std::unique_ptr<Daemon> daemon;

 private:
  std::unique_ptr<LoopDisk> disk_;
  std::unique_ptr<V1Freezer> place_;
  std::string before_;
};

}  // namespace chaos::test
