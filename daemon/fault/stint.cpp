#include "fault/stint.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <system_error>

namespace chaos {
namespace {

/// How often a sleeper looks at the gate: a lease that has run out is noticed within this.
constexpr std::chrono::milliseconds kLook{100};

}  // namespace

Status Stint::start(std::chrono::nanoseconds duration, std::function<void()> job) {
  deadline_ = system_clock().boottime() + duration;
  try {
    thread_ = std::thread([job = std::move(job)] {
      // Slices are short: the 50 µs that a timer is late by default are a part of them.
      ::prctl(PR_SET_TIMERSLACK, 1UL);
      job();
    });
  } catch (const std::system_error& error) {
    return fail(Errc::kInternal, std::string("start a thread for the fault: ") + error.what());
  }
  ::pthread_setname_np(thread_.native_handle(), "fault");
  return {};
}

void Stint::end() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
}

void Stint::join() {
  end();
  if (thread_.joinable()) thread_.join();
}

bool Stint::over() const {
  const std::scoped_lock lock(mutex_);
  if (ended_ || !gate_.open()) return true;
  return deadline_.count() > 0 && system_clock().boottime() >= deadline_;
}

bool Stint::sleep_until(TimePoint when) {
  while (!over()) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= when) return true;
    const auto left = std::max(deadline_ - system_clock().boottime(), std::chrono::nanoseconds(0));
    const auto until = std::min({when, now + kLook, now + left});
    std::unique_lock lock(mutex_);
    if (!ended_) changed_.wait_until(lock, until);
  }
  return false;
}

}  // namespace chaos
