// Stream: a UDP packet every 100 µs from one namespace to another, numbered, each with the time at which it was sent.
// Nobody reads while it runs: the receiving socket keeps everything until finish(). What is missing then was lost in
// between, and its send time tells when. Needs root; throws std::runtime_error. One thread owns it, and it runs one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "support/net.h"
#include "support/udp.h"

namespace chaos::bench {

using TimePoint = std::chrono::steady_clock::time_point;
inline constexpr std::uint16_t kStreamPort = 9100;
inline constexpr std::chrono::microseconds kStreamInterval{100};

struct StreamRecord {
  std::vector<TimePoint> sent_at;  ///< by number
  std::vector<bool> arrived;       ///< by number

  [[nodiscard]] std::uint64_t missing() const;
  /// Send time of the first and the last packet that did not arrive; nothing if all did.
  [[nodiscard]] std::optional<TimePoint> first_missing() const;
  [[nodiscard]] std::optional<TimePoint> last_missing() const;
  /// Longest time between two packets sent from `from` to `to`: what the stream cannot see inside.
  [[nodiscard]] std::chrono::nanoseconds longest_gap(TimePoint from, TimePoint to) const;
};

class Stream {
 public:
  /// Starts at once, from `pair.left` to `pair.right`; ends by itself after `limit`.
  explicit Stream(const test::VethPair& pair, std::chrono::milliseconds limit = std::chrono::seconds(30));
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Ends it and collects what has arrived.
  StreamRecord finish();

 private:
  void send(const test::Namespace& from, TimePoint end);

  std::optional<test::UdpSocket> receiver_;
  std::vector<TimePoint> sent_at_;
  std::exception_ptr error_;
  std::atomic<bool> stop_{false};
  std::thread sender_;
};

}  // namespace chaos::bench
