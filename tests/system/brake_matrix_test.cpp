// Every way to pull the emergency stop, on a daemon that is healthy, drowned in requests, stopped by a signal, or dead:
// how long after the pull the last packet was lost, and that nothing starts afterwards.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
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

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

enum class Pull { kApi, kChaosctl, kSignal, kStopFile };
enum class Condition { kHealthy, kBusy, kStopped, kDead };

std::string name_of(Pull pull) {
  constexpr const char* kNames[]{"Api", "Chaosctl", "Signal", "StopFile"};
  return kNames[static_cast<int>(pull)];
}

std::string name_of(Condition condition) {
  constexpr const char* kNames[]{"Healthy", "Busy", "Stopped", "Dead"};
  return kNames[static_cast<int>(condition)];
}

/// GET /health over connections that stay open, a few requests ahead on each: some 12,000 a second, and no more, so
/// that what is measured is the daemon at work and not a machine without a moment to spare.
class Flood {
 public:
  explicit Flood(const std::string& socket) {
    for (int i = 0; i < 4; ++i) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      socket.copy(address.sun_path, sizeof(address.sun_path) - 1);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) continue;
      fds_.push_back(fd);
      threads_.emplace_back([this, fd] { run(fd); });
    }
  }
  ~Flood() {
    stop_ = true;
    for (const int fd : fds_) shutdown(fd, SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : fds_) close(fd);
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  [[nodiscard]] std::uint64_t answers() const { return answers_.load(); }

 private:
  void run(int fd) {
    constexpr std::string_view kRequest = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    constexpr std::string_view kMark = "HTTP/1.1 ";
    constexpr unsigned kAhead = 16;
    constexpr std::chrono::microseconds kPace{5300};  // of four connections
    std::string batch;
    for (unsigned i = 0; i < kAhead; ++i) batch += kRequest;
    unsigned open = 0;
    std::string buffer(65536, '\0');
    auto next = steady_clock::now();
    while (!stop_) {
      if (open < kAhead / 2) {
        std::this_thread::sleep_until(next);
        next += kPace;
        if (send(fd, batch.data(), batch.size(), MSG_NOSIGNAL) < 0) return;
        open += kAhead;
      }
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
      // One that is cut in two by the buffer is missed: the count errs to the low side, the pace does not.
      unsigned answers = 0;
      for (std::size_t at = text.find(kMark); at != std::string_view::npos; at = text.find(kMark, at + 1)) ++answers;
      answers_ += answers;
      open -= std::min(open, std::max(answers, 1U));
    }
  }
  std::vector<int> fds_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> answers_{0};
};

class BrakeMatrix : public testing::TestWithParam<std::tuple<Pull, Condition>> {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("matrix");
    daemon_ = std::make_unique<Daemon>();
    stream_ = std::make_unique<Stream>(Stream::End{net_->left, "10.77.0.1"}, Stream::End{net_->right, "10.77.0.2"},
                                       std::chrono::microseconds(200));
    ASSERT_TRUE(stream_->first_arrival({}, seconds(5)));
    id_ = id_of(daemon_->run_scenario(total_loss(net_->left)));
    ASSERT_TRUE(stream_->falls_silent(milliseconds(50), seconds(5)));
  }
  void TearDown() override {
    stream_.reset();
    daemon_.reset();
    net_.reset();
  }
  void pull(Pull how, Condition condition) {
    switch (how) {
      case Pull::kApi:
        if (condition == Condition::kStopped) {
          // Nobody answers: the request stands until the daemon goes on.
          late_ = std::thread([this] { (void)daemon_->post("/api/chaos/emergency-stop"); });
        } else {
          EXPECT_EQ(daemon_->post("/api/chaos/emergency-stop").status, condition == Condition::kDead ? 0 : 200);
        }
        break;
      case Pull::kChaosctl: {
        const bool alone = condition == Condition::kStopped || condition == Condition::kDead;
        std::vector<std::string> words{"chaosctl", "--socket", daemon_->socket(), "emergency-stop"};
        if (alone) words.insert(words.end(), {"--state-dir", daemon_->state_dir().string()});
        // Started as a shell would, without a shell's own start.
        Child brake(CHAOS_BIN_DIR "/chaosctl", words);
        while (!brake.read_line().empty()) {
        }
        EXPECT_EQ(brake.wait(), 0);
        break;
      }
      case Pull::kSignal:
        if (condition != Condition::kDead) daemon_->signal(SIGUSR1);
        break;
      case Pull::kStopFile:
        std::ofstream(daemon_->runtime_dir() / "STOP") << "test\n";
        break;
    }
  }
  /// Whatever state it was in: a daemon that goes on, or a new one, is latched and starts nothing.
  void expect_holds(Pull how, Condition condition) {
    if (condition == Condition::kStopped && how != Pull::kChaosctl) daemon_->signal(SIGCONT);
    if (late_.joinable()) late_.join();
    if (condition == Condition::kDead || (condition == Condition::kStopped && how == Pull::kChaosctl)) {
      if (daemon_->running()) (void)daemon_->wait();
      daemon_->start();
    }
    ASSERT_TRUE(eventually([&] { return daemon_->get("/health").body.value("latched", false); })) << daemon_->log();
    const Response refused = daemon_->post("/api/chaos/scenarios", total_loss(net_->left));
    EXPECT_EQ(refused.status, 409) << refused.text;
    EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon_->pid()).links.empty(); }));
    (void)wait_for_end(*daemon_, id_);
    ASSERT_TRUE(eventually([&] { return daemon_->post("/api/chaos/rearm").status == 200; }));
    ASSERT_TRUE(eventually([&] { return daemon_->get("/health").body.value("status", "") == "ok"; }));
    EXPECT_EQ(daemon_->stop_scenario(id_of(daemon_->run_scenario(total_loss(net_->left)))).value("state", ""),
              "completed");
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Stream> stream_;
  std::thread late_;
  std::string id_;
};

milliseconds limit_of(Pull pull, Condition condition) {
  if (condition == Condition::kStopped) return milliseconds(pull == Pull::kChaosctl ? 100 : 1300);
  return milliseconds(condition == Condition::kDead ? 20 : 10);
}

TEST_P(BrakeMatrix, TrafficFlowsAndNothingStartsAnyMore) {
  const auto [how, condition] = GetParam();
  std::unique_ptr<Flood> flood;
  if (condition == Condition::kBusy) {
    flood = std::make_unique<Flood>(daemon_->socket());
    const auto began = steady_clock::now();
    ASSERT_TRUE(eventually([&] { return flood->answers() > 5000; }, seconds(20))) << flood->answers();
    const double span = std::chrono::duration<double>(steady_clock::now() - began).count();
    std::printf("[ MEASURED ] %.0f requests/s are being answered\n", static_cast<double>(flood->answers()) / span);
  }
  if (condition == Condition::kStopped) daemon_->signal(SIGSTOP);
  const auto pulled = steady_clock::now();
  if (condition == Condition::kDead) {
    daemon_->signal(SIGKILL);
    (void)daemon_->wait();
  }
  pull(how, condition);
  const auto arrival = stream_->first_arrival(pulled, seconds(20));
  flood.reset();
  ASSERT_TRUE(arrival) << "no packet came through";
  const Timings::Milliseconds took(*arrival - pulled);
  std::printf("[ MEASURED ] %s, %s: first packet after %.3f ms\n", name_of(how).c_str(), name_of(condition).c_str(),
              took.count());
  // The limits of the issue where the machine is quiet; elsewhere what no brake that works would miss.
  const char* full = std::getenv("CHAOS_TEST_FULL");
  const bool exact = full != nullptr && std::string(full) == "1";
  const milliseconds limit = limit_of(how, condition);
  EXPECT_LT(took, exact ? limit : std::max(limit * 10, milliseconds(1500)));
  expect_holds(how, condition);
}

// SIGUSR1 and the API have nobody to reach when the daemon is dead; then its death was the brake.
INSTANTIATE_TEST_SUITE_P(All, BrakeMatrix,
                         testing::Combine(testing::Values(Pull::kApi, Pull::kChaosctl, Pull::kSignal, Pull::kStopFile),
                                          testing::Values(Condition::kHealthy, Condition::kBusy, Condition::kStopped)),
                         [](const auto& param) {
                           return name_of(std::get<0>(param.param)) + name_of(std::get<1>(param.param));
                         });
INSTANTIATE_TEST_SUITE_P(Dead, BrakeMatrix,
                         testing::Combine(testing::Values(Pull::kChaosctl, Pull::kStopFile),
                                          testing::Values(Condition::kDead)),
                         [](const auto& param) {
                           return name_of(std::get<0>(param.param)) + name_of(std::get<1>(param.param));
                         });

}  // namespace
}  // namespace chaos::test
