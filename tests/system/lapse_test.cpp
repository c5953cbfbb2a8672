// A chaosd that hangs loses its lease: the kernel falls silent without its help, and afterwards nothing is re-applied
// (DESIGN, "Fault ownership"). A chaosd that merely shares its machine with busy processes keeps it.
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>

#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// A debugger that stops one thread and lets the others of its process run. Made and destroyed on the same thread.
class StoppedThread {
 public:
  explicit StoppedThread(pid_t tid) : tid_(tid) {
    int status = 0;
    if (ptrace(PTRACE_SEIZE, tid_, nullptr, nullptr) != 0 || ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr) != 0 ||
        waitpid(tid_, &status, __WALL) != tid_ || !WIFSTOPPED(status)) {
      throw std::runtime_error("stop thread " + std::to_string(tid));
    }
  }
  ~StoppedThread() { ptrace(PTRACE_DETACH, tid_, nullptr, nullptr); }
  StoppedThread(const StoppedThread&) = delete;
  StoppedThread& operator=(const StoppedThread&) = delete;

 private:
  pid_t tid_;
};

class Lapse : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("lapse");
    daemon_ = std::make_unique<Daemon>();
    stream_ = std::make_unique<Stream>(Stream::End{net_->left, "10.77.0.1"}, Stream::End{net_->right, "10.77.0.2"},
                                       std::chrono::microseconds(500));
    ASSERT_TRUE(stream_->first_arrival({}, seconds(5)));
  }
  void TearDown() override {
    stream_.reset();
    daemon_.reset();
    net_.reset();
  }

  std::string lose_everything(const std::string& duration = "1m") {
    std::string id = id_of(daemon_->run_scenario(total_loss(net_->left, duration)));
    EXPECT_TRUE(stream_->falls_silent(milliseconds(100), seconds(5)));
    return id;
  }
  /// From `since` to the first packet through; 60 s if none came.
  [[nodiscard]] Timings::Milliseconds time_to_traffic(steady_clock::time_point since) const {
    const auto arrival = stream_->first_arrival(since, seconds(20));
    EXPECT_TRUE(arrival) << "no packet came through";
    return arrival ? Timings::Milliseconds(*arrival - since) : Timings::Milliseconds(60'000);
  }
  /// The scenario is over for good, its links are gone, and the daemon starts new ones.
  void expect_lapsed(const std::string& id) {
    const auto record = wait_for_end(*daemon_, id);
    EXPECT_EQ(record.value("state", ""), "failed") << record.dump(1);
    EXPECT_EQ(record.value("end_reason", ""), "lapsed") << record.dump(1);
    EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon_->pid()).links.empty(); }));

    // Longer than the lease needs to be renewed: what is not re-applied by now is not re-applied.
    const std::uint64_t received = stream_->received();
    const std::uint64_t sent = stream_->sent();
    ASSERT_TRUE(eventually([&] { return stream_->sent() >= sent + 3000; }, seconds(30)));
    EXPECT_GE(stream_->received() - received, 2900U);
    EXPECT_TRUE(eventually([&] { return daemon_->get("/health").body.value("lease_margin_ms", -1) > 0; }));
    EXPECT_EQ(daemon_->scenario(id).value("end_reason", ""), "lapsed");

    const std::string next = lose_everything();
    EXPECT_EQ(daemon_->stop_scenario(next).value("state", ""), "completed");
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Stream> stream_;
};

TEST_F(Lapse, StoppedDaemonFallsSilentAndNothingComesBack) {
  Timings timings;
  for (int i = 0; i < by_size(1, 10); ++i) {
    const std::string id = lose_everything();
    const auto stopped = steady_clock::now();
    daemon_->signal(SIGSTOP);
    timings.add(time_to_traffic(stopped));
    daemon_->signal(SIGCONT);
    expect_lapsed(id);
  }
  timings.report("SIGSTOP to silence of the fault");
  EXPECT_LE(timings.max(), by_size(2500.0, 1300.0));
}

TEST_F(Lapse, BlockedMainLoopFallsSilentAlthoughTheLeaseThreadRuns) {
  Timings timings;
  for (int i = 0; i < by_size(1, 5); ++i) {
    const std::string id = lose_everything();
    const auto stopped = steady_clock::now();
    {
      const StoppedThread main_thread(daemon_->pid());
      timings.add(time_to_traffic(stopped));
    }
    expect_lapsed(id);
  }
  timings.report("main loop blocked to silence of the fault");
  EXPECT_LE(timings.max(), by_size(6000.0, 4500.0));
  EXPECT_GE(timings.percentile(50), 2000.0) << "a loop that is busy for a moment is no hung one";
}

TEST_F(Lapse, BusyProcessesBesideItDoNotMakeItLapse) {
  const seconds span = by_size(seconds(20), seconds(600));
  const auto asked = steady_clock::now();
  const std::string id = lose_everything(std::to_string(span.count()) + "s");
  const auto silent = steady_clock::now();
  std::vector<std::unique_ptr<Child>> hogs;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    hogs.push_back(std::make_unique<Child>(
        "/usr/bin/setpriv",
        std::vector<std::string>{"setpriv", "--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"}));
  }
  std::int64_t least_margin = 1000;
  std::optional<Stream::Time> arrival;
  while (!arrival && steady_clock::now() - silent < span + seconds(30)) {
    const Response health = daemon_->get("/health");
    least_margin = std::min<std::int64_t>(least_margin, health.body.value("lease_margin_ms", std::int64_t{-1}));
    arrival = stream_->first_arrival(silent, milliseconds(100));
  }
  for (const auto& hog : hogs) EXPECT_TRUE(hog->running());
  hogs.clear();
  report_figure("least lease margin seen beside CPU hogs", static_cast<double>(least_margin), "ms");
  ASSERT_TRUE(arrival);
  EXPECT_GE(*arrival - asked, span) << "the fault fell silent before its time";
  EXPECT_GT(least_margin, 0);
  const auto record = wait_for_end(*daemon_, id);
  EXPECT_EQ(record.value("end_reason", ""), "expired") << record.dump(1);
}

TEST_F(Lapse, EmergencyStopWorksOnAStoppedDaemon) {
  const std::string ctl = CHAOS_BIN_DIR "/chaosctl";
  ASSERT_TRUE(std::filesystem::exists(ctl)) << "chaosctl is not built";
  const std::string id = lose_everything();
  const BpfObjects before = bpf_objects_of(daemon_->pid());
  daemon_->signal(SIGSTOP);
  const Outcome stop = try_shell(ctl + " --socket " + daemon_->socket() + " -o json emergency-stop --reason hung");
  EXPECT_EQ(stop.status, 0) << stop.output;
  EXPECT_TRUE(stop.output.contains("\"by\": \"chaosctl\"")) << stop.output;
  const int status = daemon_->wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(stream_->first_arrival(steady_clock::now(), seconds(2)));
  EXPECT_TRUE(eventually([&] { return still_there(before).empty(); }, seconds(30)));

  daemon_->start();
  EXPECT_EQ(daemon_->get("/health").body.value("latched", false), true);
  EXPECT_EQ(daemon_->post("/api/chaos/scenarios", total_loss(net_->left)).status, 409);
  EXPECT_EQ(daemon_->scenario(id).value("state", ""), "failed");
  EXPECT_EQ(daemon_->post("/api/chaos/rearm").status, 200);
  EXPECT_EQ(daemon_->stop_scenario(lose_everything()).value("state", ""), "completed");
}

}  // namespace
}  // namespace chaos::test
