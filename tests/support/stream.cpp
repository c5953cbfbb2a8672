#include "support/stream.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace chaos::test {
namespace {

/// The instrument must not wait for the machine's other work, or it measures that. Not as a real-time thread: two of
/// those that fall behind their interval would take both CPUs of a small machine from the kernel's own threads.
void raise_priority() {
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), -15);
  prctl(PR_SET_TIMERSLACK, 1UL);
}

}  // namespace

Stream::Stream(const End& from, const End& to, std::chrono::microseconds interval, std::uint16_t port) {
  to.ns.run([&] { receiver_.emplace(to.address, port); });
  from.ns.run([&] {
    sender_.emplace(from.address, port);
    sender_->connect(to.address, port);
  });
  threads_.emplace_back([this] { receive(); });
  threads_.emplace_back([this, interval] { send(interval); });
}

Stream::~Stream() {
  stop_.store(true);
  for (std::thread& thread : threads_) thread.join();
}

void Stream::send(std::chrono::microseconds interval) {
  raise_priority();
  while (!stop_.load()) {
    (void)sender_->send_numbers(sent_.load(), 1);
    ++sent_;
    // Between two sends, whatever they cost: a sender that falls behind must not become a busy loop.
    std::this_thread::sleep_for(interval);
  }
}

void Stream::receive() {
  raise_priority();
  std::vector<bool> seen;
  pollfd readable{.fd = receiver_->fd(), .events = POLLIN, .revents = 0};
  while (!stop_.load()) {
    if (poll(&readable, 1, 20) <= 0) continue;
    const Time now = std::chrono::steady_clock::now();
    const std::uint64_t count = receiver_->drain(seen);
    const std::lock_guard lock(mutex_);
    arrivals_.insert(arrivals_.end(), count, now);
  }
}

std::optional<Stream::Time> Stream::first_arrival(Time since, std::chrono::milliseconds limit) const {
  std::optional<Time> found;
  (void)eventually(
      [&] {
        const std::lock_guard lock(mutex_);
        const auto first = std::ranges::lower_bound(arrivals_, since);
        if (first != arrivals_.end()) found = *first;
        return found.has_value();
      },
      limit);
  return found;
}

std::optional<Stream::Time> Stream::last_arrival() const {
  const std::lock_guard lock(mutex_);
  if (arrivals_.empty()) return std::nullopt;
  return arrivals_.back();
}

bool Stream::falls_silent(std::chrono::milliseconds span, std::chrono::milliseconds limit) const {
  const Time since = std::chrono::steady_clock::now();
  return eventually(
      [&] {
        const Time last = std::max(last_arrival().value_or(since), since);
        return std::chrono::steady_clock::now() - last >= span;
      },
      limit);
}

std::uint64_t Stream::received() const {
  const std::lock_guard lock(mutex_);
  return arrivals_.size();
}

}  // namespace chaos::test
