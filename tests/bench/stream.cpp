#include "bench/stream.h"

#include <time.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "bench/harness.h"

namespace chaos::bench {
namespace {

constexpr std::chrono::milliseconds kSettle{5};  ///< for packets on their way when the stream ends

void sleep_until(TimePoint when) {
  const auto since_boot = std::chrono::nanoseconds(when.time_since_epoch()).count();
  const timespec time{.tv_sec = since_boot / 1'000'000'000, .tv_nsec = since_boot % 1'000'000'000};
  (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

}  // namespace

std::uint64_t StreamRecord::missing() const { return static_cast<std::uint64_t>(std::ranges::count(arrived, false)); }

std::optional<TimePoint> StreamRecord::first_missing() const {
  const auto it = std::ranges::find(arrived, false);
  if (it == arrived.end()) return std::nullopt;
  return sent_at[static_cast<std::size_t>(std::distance(arrived.begin(), it))];
}

std::optional<TimePoint> StreamRecord::last_missing() const {
  const auto it = std::find(arrived.rbegin(), arrived.rend(), false);
  if (it == arrived.rend()) return std::nullopt;
  return sent_at[static_cast<std::size_t>(std::distance(it, arrived.rend()) - 1)];
}

std::chrono::nanoseconds StreamRecord::longest_gap(TimePoint from, TimePoint to) const {
  std::chrono::nanoseconds longest{0};
  for (std::size_t i = 1; i < sent_at.size(); ++i) {
    if (sent_at[i] < from || sent_at[i - 1] > to) continue;
    longest = std::max<std::chrono::nanoseconds>(longest, sent_at[i] - sent_at[i - 1]);
  }
  return longest;
}

Stream::Stream(const test::VethPair& pair, std::chrono::milliseconds limit) {
  pair.right.run([this] { receiver_.emplace("10.77.0.2", kStreamPort); });
  sent_at_.reserve(static_cast<std::size_t>(limit / kStreamInterval) + 1);
  sender_ = std::thread([this, &pair, end = std::chrono::steady_clock::now() + limit] {
    try {
      send(pair.left, end);
    } catch (...) {
      error_ = std::current_exception();
    }
  });
}

Stream::~Stream() {
  stop_.store(true);
  if (sender_.joinable()) sender_.join();
}

void Stream::send(const test::Namespace& from, TimePoint end) {
  from.run([this, end] {
    test::UdpSocket socket("10.77.0.1", kStreamPort + 1);
    socket.connect("10.77.0.2", kStreamPort);
    // It sleeps between packets instead of spinning: spinning would take a CPU away from the daemon that is measured.
    be_punctual();
    for (TimePoint next = std::chrono::steady_clock::now(); !stop_.load() && next < end;) {
      const TimePoint now = std::chrono::steady_clock::now();
      const std::uint64_t number = sent_at_.size();
      sent_at_.push_back(now);
      (void)socket.send_numbers(number, 1, sizeof(number));
      // After a delay it goes on from there: a burst to catch up would say nothing new.
      next = std::max(next, now) + kStreamInterval;
      sleep_until(next);
    }
  });
}

StreamRecord Stream::finish() {
  stop_.store(true);
  sender_.join();
  if (error_) std::rethrow_exception(error_);
  std::this_thread::sleep_for(kSettle);
  StreamRecord record;
  record.sent_at = std::move(sent_at_);
  record.arrived.resize(record.sent_at.size());
  receiver_->drain(record.arrived);
  return record;
}

}  // namespace chaos::bench
