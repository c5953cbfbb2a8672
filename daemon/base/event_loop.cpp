#include "base/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/clock.h"

namespace chaos {
namespace {

constexpr std::uint64_t kTimerAccuracyUs = 1000;
constexpr std::chrono::milliseconds kHeartbeat{500};

/// Absolute CLOCK_BOOTTIME in us, rounded up: a timer is never early. Reads the clock, not the loop's cached time, so
/// that a slow callback does not shorten a delay that it sets.
std::uint64_t deadline_us(std::chrono::nanoseconds delay) {
  const auto at = system_clock().boottime() + std::max(delay, std::chrono::nanoseconds::zero());
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::microseconds>(at).count());
}

void stamp(std::atomic<std::uint64_t>& progress) {
  progress.store(static_cast<std::uint64_t>(system_clock().monotonic().count()), std::memory_order_relaxed);
}

}  // namespace

/// What sd-event gets as userdata. A callback may destroy its own Source: `orphaned` then leaves the deletion to the
/// dispatcher. noexcept throughout: an exception must not cross sd-event's C frames.
struct EventLoop::Source::Callback {
  std::atomic<std::uint64_t>* progress = nullptr;
  std::function<void(std::uint32_t)> call;
  bool running = false;
  bool orphaned = false;

  static int dispatch(void* userdata, std::uint32_t revents) noexcept {
    auto* self = static_cast<Callback*>(userdata);
    stamp(*self->progress);
    self->running = true;
    self->call(revents);
    self->running = false;
    if (self->orphaned) delete self;
    return 0;
  }
  static int on_io(sd_event_source*, int, std::uint32_t revents, void* userdata) noexcept {
    return dispatch(userdata, revents);
  }
  static int on_time(sd_event_source*, std::uint64_t, void* userdata) noexcept { return dispatch(userdata, 0); }
  static int on_signal(sd_event_source*, const signalfd_siginfo*, void* userdata) noexcept {
    return dispatch(userdata, 0);
  }
};

EventLoop::Source::Source(sd_event_source* source, std::unique_ptr<Callback> callback)
    : source_(source), callback_(std::move(callback)) {}

EventLoop::Source::~Source() {
  ::sd_event_source_disable_unref(source_);
  if (callback_->running) {
    callback_->orphaned = true;
    (void)callback_.release();
  }
}

void EventLoop::Source::rearm(std::chrono::nanoseconds delay) {
  // Both fail only on a source that is no timer, or after a fork: caller bugs.
  (void)::sd_event_source_set_time(source_, deadline_us(delay));
  (void)::sd_event_source_set_enabled(source_, SD_EVENT_ONESHOT);
}

std::unique_ptr<EventLoop::Source::Callback> EventLoop::make_callback(std::function<void(std::uint32_t)> call) {
  auto callback = std::make_unique<Source::Callback>();
  callback->progress = &progress_ns_;
  callback->call = std::move(call);
  return callback;
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  stamp(loop->progress_ns_);
  if (const int rc = ::sd_event_new(&loop->event_); rc < 0) return fail_errno("sd_event_new", -rc);

  loop->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_.valid()) return fail_errno("eventfd");
  EventLoop* self = loop.get();
  auto wake = loop->add_io(loop->wake_.get(), EPOLLIN, [self](std::uint32_t) { self->drain_posted(); });
  if (!wake) return std::unexpected(std::move(wake.error()));
  loop->wake_source_ = std::move(*wake);

  auto heartbeat = loop->add_timer(kHeartbeat, [self] { self->heartbeat_->rearm(kHeartbeat); });
  if (!heartbeat) return std::unexpected(std::move(heartbeat.error()));
  loop->heartbeat_ = std::move(*heartbeat);
  return loop;
}

EventLoop::~EventLoop() {
  heartbeat_.reset();
  wake_source_.reset();
  ::sd_event_unref(event_);
}

Result<EventLoop::SourcePtr> EventLoop::add_io(int fd, std::uint32_t epoll_events,
                                               std::function<void(std::uint32_t)> callback) {
  auto state = make_callback(std::move(callback));
  sd_event_source* source = nullptr;
  const int rc = ::sd_event_add_io(event_, &source, fd, epoll_events, Source::Callback::on_io, state.get());
  if (rc < 0) return fail_errno("sd_event_add_io", -rc);
  return std::make_unique<Source>(source, std::move(state));
}

Result<EventLoop::SourcePtr> EventLoop::add_timer(std::chrono::nanoseconds delay, std::function<void()> callback) {
  auto state = make_callback([call = std::move(callback)](std::uint32_t) { call(); });
  sd_event_source* source = nullptr;
  const int rc = ::sd_event_add_time(event_, &source, CLOCK_BOOTTIME, deadline_us(delay), kTimerAccuracyUs,
                                     Source::Callback::on_time, state.get());
  if (rc < 0) return fail_errno("sd_event_add_time", -rc);
  return std::make_unique<Source>(source, std::move(state));
}

Result<EventLoop::SourcePtr> EventLoop::add_signal(int signo, std::function<void()> callback) {
  sigset_t set;
  ::sigemptyset(&set);
  if (::sigaddset(&set, signo) < 0) return fail_errno("sigaddset");
  if (const int rc = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); rc != 0) return fail_errno("pthread_sigmask", rc);
  auto state = make_callback([call = std::move(callback)](std::uint32_t) { call(); });
  sd_event_source* source = nullptr;
  const int rc = ::sd_event_add_signal(event_, &source, signo, Source::Callback::on_signal, state.get());
  if (rc < 0) return fail_errno("sd_event_add_signal", -rc);
  return std::make_unique<Source>(source, std::move(state));
}

void EventLoop::post(std::move_only_function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(job));
  }
  // EAGAIN means that the counter is full: the loop is going to wake anyway.
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void EventLoop::drain_posted() {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  std::vector<std::move_only_function<void()>> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(posted_);
  }
  for (auto& job : jobs) {
    stamp(progress_ns_);
    job();
  }
}

Status EventLoop::run() {
  stamp(progress_ns_);
  if (const int rc = ::sd_event_set_watchdog(event_, 1); rc < 0) return fail_errno("sd_event_set_watchdog", -rc);
  if (const int rc = ::sd_event_loop(event_); rc < 0) return fail_errno("sd_event_loop", -rc);
  return {};
}

void EventLoop::quit(int exit_code) {
  exit_code_ = exit_code;
  // Fails only once the loop has finished, when there is nothing left to end.
  (void)::sd_event_exit(event_, 0);
}

}  // namespace chaos
