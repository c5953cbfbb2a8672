// How waits of syscall_latency end: with their scenario, with chaosd however that ends, and with the processes that
// serve them. Observer: 64 threads that wait, by their own clock.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "latency_bed.h"
#include "support/observe.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

class LatencyEnds : public SyscallLatency {
 protected:
  /// 64 threads wait in openat, for 5 s, each once.
  std::string all_wait(const std::string& duration = "120s") {
    const std::string id = begin_waits({{"syscalls", "openat"}, {"delay", "5s"}}, duration);
    timed_.begin("openat", TimedCalls::kMostThreads, 0, TimedCalls::kMostThreads);
    EXPECT_TRUE(eventually([&] { return waiting() == TimedCalls::kMostThreads; }, seconds(20)));
    return id;
  }
  /// Nobody waits any more.
  void expect_free() {
    timed_.stop();
    EXPECT_EQ(waiting(), 0);
  }
};

TEST_F(LatencyEnds, WithItsScenario) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = all_wait();
  std::thread stopping([&] { (void)daemon_->stop_scenario(id); });
  const double took = until_nobody_waits();
  stopping.join();
  report_figure("64 waiters after a stop", took, "ms");
  EXPECT_LE(took, 500 * time_scale());
  expect_free();
  const json ended = daemon_->scenario(id);
  EXPECT_TRUE(closes(ended.at("counters"))) << ended.at("counters").dump();
  EXPECT_EQ(ended.at("achieved").value("cut_short", ""), "64");
  expect_no_residue();
}

TEST_F(LatencyEnds, WithItsTime) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = all_wait("4s");
  EXPECT_LE(until_nobody_waits(), 4000 + 500 * time_scale());
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "expired");
  expect_free();
}

TEST_F(LatencyEnds, WithTheEmergencyStop) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = all_wait();
  std::thread stopping([&] { EXPECT_EQ(daemon_->post("/api/chaos/emergency-stop").status, 200); });
  EXPECT_LE(until_nobody_waits(), 500 * time_scale());
  stopping.join();
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "emergency_stop");
  expect_free();
  expect_no_residue();
}

TEST_F(LatencyEnds, WithChaosd) {
  CHAOS_NEEDS_WAITS("openat");
  (void)all_wait();
  const BpfObjects objects = bpf_objects_of(daemon_->pid());
  daemon_->signal(SIGKILL);
  const double took = until_nobody_waits();
  report_figure("64 waiters after kill -9 of chaosd", took, "ms");
  EXPECT_LE(took, 200 * time_scale());
  (void)daemon_->wait();
  expect_free();
  EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); }));
  EXPECT_TRUE(eventually([&] { return helpers().empty(); }));
}

TEST_F(LatencyEnds, WithTheLeaseOfAHungDaemon) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = all_wait();
  daemon_->signal(SIGSTOP);
  const double took = until_nobody_waits();
  report_figure("64 waiters after SIGSTOP of chaosd", took, "ms");
  EXPECT_LE(took, 2000);
  expect_free();
  daemon_->signal(SIGCONT);
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "lapsed");
  EXPECT_EQ(waiting(), 0);
}

TEST_F(LatencyEnds, WithTheProcessesThatServeThem) {
  CHAOS_NEEDS_WAITS("openat");
  // Each is killed, and each is stopped: none alone may keep anybody waiting.
  for (const std::size_t which : {0U, 1U}) {
    for (const int signo : {SIGKILL, SIGSTOP}) {
      const std::string id = all_wait();
      const std::vector<pid_t> both = helpers();
      ASSERT_EQ(both.size(), 2U);
      ASSERT_EQ(::kill(both[which], signo), 0);
      // A stopped holder holds nobody: waits last as long as they would.
      const double took = until_nobody_waits();
      report_figure(std::string("64 waiters after ") + (signo == SIGKILL ? "SIGKILL" : "SIGSTOP") + " of " +
                        (which == 0 ? "the server" : "the holder"),
                    took, "ms");
      EXPECT_LE(took, 5000 + 500 * time_scale());
      (void)daemon_->stop_scenario(id);
      timed_.stop();
      EXPECT_TRUE(eventually([&] { return helpers().empty(); }));
    }
  }
  expect_no_residue();
}

TEST_F(LatencyEnds, WithAKilledCaller) {
  CHAOS_NEEDS_WAITS("openat");
  const std::string id = begin_waits({{"syscalls", "openat"}, {"delay", "5s"}});
  auto other = std::make_unique<TimedCalls>();
  cgroup_->add(other->pid());
  other->begin("openat", 4);
  ASSERT_TRUE(eventually([&] {
    for (int i = 0; i < 4; ++i) {
      if (other->in_call_ms(i) < 20) return false;
    }
    return true;
  }));
  const auto killed = steady_clock::now();
  other.reset();
  EXPECT_LE(steady_clock::now() - killed, milliseconds(500) * time_scale());
  EXPECT_EQ(end(id).at("counters").at("injected"), 4);
}

/// A soak: what the kernel has to say meanwhile.
class KernelLog {
 public:
  KernelLog() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) { (void)::lseek(fd_.get(), 0, SEEK_END); }
  [[nodiscard]] bool readable() const { return fd_.valid(); }
  [[nodiscard]] std::string complaints() const {
    std::string all;
    std::array<char, 8192> text{};
    for (;;) {
      const ssize_t size = ::read(fd_.get(), text.data(), text.size());
      if (size < 0 && errno == EPIPE) continue;  // some were overwritten
      if (size <= 0) return all;
      const std::string line(text.data(), static_cast<std::size_t>(size));
      for (const char* word : {"blocked for more than", "hung_task", "rcu", "lockdep", "possible", "WARNING", "BUG",
                               "Oops", "stall", "lockup"}) {
        if (line.contains(word)) {
          all += line;
          break;
        }
      }
    }
  }

 private:
  UniqueFd fd_;
};

TEST_F(LatencyEnds, WaitingCostsNothing) {
  CHAOS_NEEDS_WAITS("openat");
  (void)begin_waits({{"syscalls", "openat"}, {"delay", "4s"}});
  timed_.begin("openat", TimedCalls::kMostThreads);
  ASSERT_TRUE(eventually([&] { return waiting() == TimedCalls::kMostThreads; }, seconds(20)));
  const std::vector<pid_t> both = helpers();
  ASSERT_EQ(both.size(), 2U);
  const auto cpu = [&] { return TimedCalls::cpu_seconds(both[0]) + TimedCalls::cpu_seconds(both[1]); };
  const double before = cpu();
  const double callers_before = TimedCalls::cpu_seconds(timed_.pid());
  const auto began = steady_clock::now();
  // Some waits end meanwhile, and the next ones begin.
  ASSERT_TRUE(eventually([&] { return steady_clock::now() - began > seconds(8); }, seconds(20)));
  const std::chrono::duration<double> passed = steady_clock::now() - began;
  const double served = cpu() - before;
  const double waited = TimedCalls::cpu_seconds(timed_.pid()) - callers_before;
  report_figure("CPU of those who serve 64 waiters", 100 * served / passed.count(), "percent of a core");
  // With a thread that comes round every millisecond.
  report_figure("CPU of the process of 64 waiters", 100 * waited / passed.count(), "percent of a core");
  EXPECT_LE(served / passed.count(), 0.01 * time_scale());
}

TEST_F(LatencyEnds, ALongTimeOfItLeavesNoComplaintInTheKernelsLog) {
  CHAOS_NEEDS_WAITS("openat");
  const KernelLog log;
  const auto length = by_size(seconds(15), seconds(600));
  const bool entries = refusal("fsync").empty();
  const std::string id =
      id_of(daemon_->run_scenario(latency(of_cgroup(),
                                          {{"syscalls", entries ? "openat,connect,fsync" : "openat,connect"},
                                           {"delay", "20ms"},
                                           {"jitter", "20ms"},
                                           {"probability", "50%"}},
                                          std::to_string(length.count() + 60) + "s")));
  const auto began = steady_clock::now();
  std::uint64_t done = 0;
  while (steady_clock::now() - began < length) {
    for (const char* call : {"openat", "connect", "fsync"}) {
      timed_.begin(call, TimedCalls::kMostThreads);
      const auto until = steady_clock::now() + seconds(2);
      ASSERT_TRUE(eventually([&] { return steady_clock::now() > until; }, seconds(20)));
      timed_.stop();
    }
  }
  for (int i = 0; i < TimedCalls::kMostThreads; ++i) done += timed_.done(i);
  const json ended = end(id);
  report_figure("calls", static_cast<double>(done), "calls");
  report_figure("of these waited", static_cast<double>(Sums(ended).injected), "calls");
  std::cout << ended.at("counters").dump() << ended.at("achieved").dump() << "\n";
  EXPECT_GT(Sums(ended).injected, 0U);
  if (log.readable()) {
    EXPECT_EQ(log.complaints(), "");
  }
  expect_no_residue();
}

}  // namespace
}  // namespace chaos::test
