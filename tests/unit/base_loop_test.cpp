#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/worker.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

constexpr auto kPatience = 20s;

/// Polls `condition` until it holds or patience is over.
template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class Loop : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error().message;
    loop_ = std::move(*loop);
    patience_ = timer(kPatience, [this] {
      ADD_FAILURE() << "the loop did not end";
      loop_->quit(1);
    });
  }

  EventLoop::SourcePtr timer(std::chrono::nanoseconds delay, std::function<void()> callback) {
    auto source = loop_->add_timer(delay, std::move(callback));
    EXPECT_TRUE(source) << source.error().message;
    return source ? std::move(*source) : nullptr;
  }

  void run() {
    const Status status = loop_->run();
    EXPECT_TRUE(status) << status.error().message;
  }

  std::unique_ptr<EventLoop> loop_;
  EventLoop::SourcePtr patience_;
};

TEST_F(Loop, PostedJobsRunOnTheLoopThreadInOrderOfTheirPoster) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 200;
  std::vector<std::vector<int>> seen(kThreads);
  std::size_t total = 0;
  const auto loop_thread = std::this_thread::get_id();
  std::vector<std::jthread> posters;
  for (std::size_t t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kJobs; ++i) {
        loop_->post([&, t, i] {
          EXPECT_EQ(std::this_thread::get_id(), loop_thread);
          seen[t].push_back(i);
          if (++total == kThreads * kJobs) loop_->quit();
        });
      }
    });
  }
  run();
  for (const auto& jobs : seen) {
    EXPECT_EQ(jobs.size(), static_cast<std::size_t>(kJobs));
    EXPECT_TRUE(std::ranges::is_sorted(jobs));
  }
}

TEST_F(Loop, PostedJobMayPostAndMayOwnMoveOnlyThings) {
  auto value = std::make_unique<int>(7);
  int got = 0;
  loop_->post([&, owned = std::move(value)]() mutable {
    loop_->post([&, inner = std::move(owned)] {
      got = *inner;
      loop_->quit();
    });
  });
  run();
  EXPECT_EQ(got, 7);
}

TEST_F(Loop, JobsThatNeverRanAreDropped) {
  auto owned = std::make_shared<int>(1);
  loop_->post([owned] { ADD_FAILURE() << "ran after the end"; });
  patience_.reset();
  loop_.reset();
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_F(Loop, TimersFireInOrderAndNeverEarly) {
  std::vector<int> order;
  const auto start = system_clock().boottime();
  const auto late = timer(30ms, [&] {
    EXPECT_GE(system_clock().boottime() - start, 30ms);
    order.push_back(30);
    loop_->quit();
  });
  const auto early = timer(5ms, [&] {
    EXPECT_GE(system_clock().boottime() - start, 5ms);
    order.push_back(5);
  });
  const auto past = timer(-1s, [&] { order.push_back(0); });
  run();
  EXPECT_THAT(order, ElementsAre(0, 5, 30));
}

TEST_F(Loop, TimerIsOneShotUntilRearmed) {
  int once = 0;
  int many = 0;
  const auto single = timer(1ms, [&] { ++once; });
  EventLoop::SourcePtr repeated;
  repeated = timer(1ms, [&] {
    if (++many < 5) {
      repeated->rearm(2ms);
    } else {
      loop_->quit();
    }
  });
  run();
  EXPECT_EQ(once, 1);
  EXPECT_EQ(many, 5);
}

TEST_F(Loop, RearmPutsOffAPendingTimer) {
  const auto start = system_clock().boottime();
  const auto source = timer(1ms, [&] {
    EXPECT_GE(system_clock().boottime() - start, 40ms);
    loop_->quit();
  });
  source->rearm(40ms);
  run();
}

TEST_F(Loop, DestroyedSourceDoesNotFire) {
  auto doomed = timer(1ms, [] { ADD_FAILURE() << "fired"; });
  doomed.reset();
  const auto end = timer(20ms, [&] { loop_->quit(); });
  run();
}

TEST_F(Loop, CallbackMayDestroyItsOwnSource) {
  auto owned = std::make_shared<int>(3);
  int seen = 0;
  EventLoop::SourcePtr self;
  self = timer(1ms, [&, owned] {
    self.reset();
    seen = *owned;  // what the callback captured is still there
    loop_->quit();
  });
  run();
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_F(Loop, SourceMayOutliveTheLoop) {
  auto source = timer(1h, [] {});
  patience_.reset();
  loop_.reset();
  source.reset();
}

TEST_F(Loop, IoGivesTheEvents) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader(fds[0]);
  UniqueFd writer(fds[1]);
  std::string got;
  auto source = loop_->add_io(reader.get(), EPOLLIN, [&](std::uint32_t events) {
    if ((events & EPOLLIN) != 0) {
      char text[16];
      const ssize_t n = ::read(reader.get(), text, sizeof text);
      if (n > 0) got.append(text, static_cast<std::size_t>(n));
      writer.reset();
    } else {
      EXPECT_NE(events & EPOLLHUP, 0U);
      loop_->quit();
    }
  });
  ASSERT_TRUE(source);
  ASSERT_EQ(::write(writer.get(), "hello", 5), 5);
  run();
  EXPECT_EQ(got, "hello");
}

TEST_F(Loop, RefusesWhatCannotBeWatched) {
  const auto closed = loop_->add_io(9999, EPOLLIN, [](std::uint32_t) {});
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().sys_errno, EBADF);
  const auto file = UniqueFd(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop_->add_io(file.get(), EPOLLIN, [](std::uint32_t) {}));
  EXPECT_FALSE(loop_->add_signal(9999, [] {}));
}

TEST_F(Loop, SignalIsBlockedAndHandledOnTheLoop) {
  sigset_t saved;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &saved), 0);
  const auto loop_thread = std::this_thread::get_id();
  {
    const auto source = loop_->add_signal(SIGUSR1, [&] {
      EXPECT_EQ(std::this_thread::get_id(), loop_thread);
      loop_->quit(3);
    });
    ASSERT_TRUE(source) << source.error().message;
    sigset_t now;
    ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &now), 0);
    EXPECT_EQ(::sigismember(&now, SIGUSR1), 1);
    ASSERT_EQ(::raise(SIGUSR1), 0);
    run();
  }
  EXPECT_EQ(loop_->exit_code(), 3);
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &saved, nullptr), 0);
}

TEST_F(Loop, QuitBeforeRunEndsAtOnceAndKeepsTheCode) {
  loop_->quit(5);
  run();
  EXPECT_EQ(loop_->exit_code(), 5);
}

TEST_F(Loop, IdleLoopKeepsStampingItsProgress) {
  const std::atomic<std::uint64_t>& stamp = loop_->progress_stamp();
  EXPECT_GT(stamp.load(), 0U);
  std::jthread watcher([&] {
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t last = stamp.load();
      EXPECT_TRUE(eventually([&] { return stamp.load() > last; }));
    }
    loop_->post([this] { loop_->quit(); });
  });
  run();
  EXPECT_LE(stamp.load(), static_cast<std::uint64_t>(system_clock().monotonic().count()));
}

TEST_F(Loop, StuckCallbackStopsTheProgressStamp) {
  const std::atomic<std::uint64_t>& stamp = loop_->progress_stamp();
  std::promise<void> stuck;
  std::promise<void> release;
  std::jthread watcher([&] {
    stuck.get_future().wait();
    const std::uint64_t last = stamp.load();
    std::promise<void> never;
    never.get_future().wait_for(700ms);  // longer than a heartbeat
    EXPECT_EQ(stamp.load(), last);
    release.set_value();
  });
  loop_->post([&] {
    stuck.set_value();
    release.get_future().wait();
    loop_->quit();
  });
  run();
}

TEST_F(Loop, FeedsTheSystemdWatchdog) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const std::string name = "chaos-unit-base-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
  ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  ::setenv("WATCHDOG_USEC", "100000", 1);
  int fed = 0;
  const auto source = loop_->add_io(socket.get(), EPOLLIN, [&](std::uint32_t) {
    char text[256];
    const ssize_t n = ::recv(socket.get(), text, sizeof text, 0);
    if (n > 0 && std::string_view(text, static_cast<std::size_t>(n)).contains("WATCHDOG=1") && ++fed == 3) {
      loop_->quit();
    }
  });
  ASSERT_TRUE(source);
  run();
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(fed, 3);
}

TEST(Worker, RunsJobsInOrderOnOneOtherThread) {
  std::vector<int> order;
  std::thread::id thread;
  std::promise<void> done;
  Worker worker("unit");
  for (int i = 0; i < 100; ++i) {
    worker.post([&, i] {
      if (i == 0) thread = std::this_thread::get_id();
      EXPECT_EQ(std::this_thread::get_id(), thread);
      order.push_back(i);
      if (i == 99) done.set_value();
    });
  }
  ASSERT_EQ(done.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_NE(thread, std::this_thread::get_id());
  EXPECT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(Worker, DestructorRunsWhatIsQueuedAndWhatThatPosts) {
  int ran = 0;
  {
    std::promise<void> go;
    auto gate = go.get_future().share();
    Worker worker("unit");
    worker.post([gate] { gate.wait(); });
    for (int i = 0; i < 50; ++i) {
      worker.post([&, i] {
        ++ran;
        if (i == 49) worker.post([&] { ++ran; });
      });
    }
    go.set_value();
  }
  EXPECT_EQ(ran, 51);
}

TEST(Worker, CountsWaitingAndRunningJobs) {
  std::promise<void> go;
  auto gate = go.get_future().share();
  Worker worker("unit");
  EXPECT_EQ(worker.pending(), 0U);
  worker.post([gate] { gate.wait(); });
  worker.post([] {});
  EXPECT_EQ(worker.pending(), 2U);
  go.set_value();
  EXPECT_TRUE(eventually([&] { return worker.pending() == 0; }));
}

TEST(Worker, ThreadCarriesTheNameCutToFit) {
  Worker worker("chaosd-links-and-disks");
  EXPECT_TRUE(eventually([&] {
    std::promise<std::string> current;
    worker.post([&] {
      char text[16] = {};
      ::pthread_getname_np(::pthread_self(), text, sizeof text);
      current.set_value(text);
    });
    return current.get_future().get() == "chaosd-links-an";
  }));
}

}  // namespace
}  // namespace chaos
