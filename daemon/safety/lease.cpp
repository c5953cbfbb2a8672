#include "safety/lease.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <csignal>

#include "base/clock.h"

namespace chaos {
namespace {

std::uint64_t monotonic_ns() { return static_cast<std::uint64_t>(system_clock().monotonic().count()); }

std::uint64_t ns(std::chrono::nanoseconds value) { return static_cast<std::uint64_t>(value.count()); }

}  // namespace

Lease::Lease(chaos_control& control, const std::atomic<std::uint64_t>& progress, std::function<void()> on_lapse,
             std::atomic<std::uint64_t>* heartbeat)
    : control_(control), progress_(progress), on_lapse_(std::move(on_lapse)), heartbeat_(heartbeat) {}

void Lease::renew(std::uint64_t until_ns) {
  std::atomic_ref(control_.lease_until_ns).store(until_ns);
  if (heartbeat_ != nullptr) heartbeat_->store(until_ns);
}

Result<std::unique_ptr<Lease>> Lease::start(chaos_control& control, const std::atomic<std::uint64_t>& progress,
                                            std::function<void()> on_lapse, std::atomic<std::uint64_t>* heartbeat) {
  std::unique_ptr<Lease> lease(new Lease(control, progress, std::move(on_lapse), heartbeat));
  lease->timer_.reset(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  lease->wake_.reset(eventfd(0, EFD_CLOEXEC));
  if (!lease->timer_.valid() || !lease->wake_.valid()) return fail_errno("create lease timer");
  const itimerspec period{{0, kPeriod.count() * 1'000'000}, {0, kPeriod.count() * 1'000'000}};
  if (timerfd_settime(lease->timer_.get(), 0, &period, nullptr) != 0) return fail_errno("start lease timer");
  lease->renew(monotonic_ns() + ns(kValidity));
  lease->thread_ = std::thread([raw = lease.get()] { raw->run(); });
  return lease;
}

Lease::~Lease() {
  stop_.store(true);
  const std::uint64_t one = 1;
  if (wake_.valid()) (void)!write(wake_.get(), &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
}

std::chrono::nanoseconds Lease::margin() const {
  const auto until = static_cast<std::int64_t>(std::atomic_ref(control_.lease_until_ns).load());
  return std::chrono::nanoseconds(until) - system_clock().monotonic();
}

void Lease::restart() { restart_wanted_.store(true); }

void Lease::run() {
  pthread_setname_np(pthread_self(), "lease");
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  const sched_param priority{.sched_priority = 1};
  realtime_.store(pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) == 0);
  pollfd fds[2] = {{timer_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  while (!stop_.load()) {
    if (poll(fds, 2, -1) < 0) continue;
    std::uint64_t expirations = 0;
    if ((fds[0].revents & POLLIN) != 0) (void)!read(timer_.get(), &expirations, sizeof(expirations));
    if (!stop_.load()) tick();
  }
}

void Lease::tick() {
  // The stored value comes from the same reading of the clock as the check: a thread that is stopped between the two
  // writes a lease that has run out already.
  const std::uint64_t now = monotonic_ns();
  if (lapsed_.load()) {
    if (!restart_wanted_.exchange(false)) return;
    lapsed_.store(false);
  } else if (now >= std::atomic_ref(control_.lease_until_ns).load()) {
    restart_wanted_.store(false);
    lapsed_.store(true);
    on_lapse_();
    return;
  } else if (now > progress_.load() + ns(kLoopPatience)) {
    return;
  }
  renew(now + ns(kValidity));
}

}  // namespace chaos
