// DelayLink: two namespaces joined by a link that takes time, on kernels without netem. The ends are TAP devices, "l0"
// (10.78.0.1) on the left and "r0" (10.78.0.2) on the right; a thread carries frames between them, each a fixed time
// after it was sent. Frames cross unchanged, segmentation offload included. Everything goes with the object. Needs
// root; throws std::runtime_error.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "support/net.h"

namespace chaos::bench {

/// How much a packet may be at the tc hooks. kOff: gso, tso and gro are off (ethtool -K), and yet TCP hands many
/// segments down as one skb, which the kernel splits behind the egress hook (since Linux 4.17, commit 0a6b2a1dc2a2).
/// kSingle: off, and gso_max_segs is 1: one segment is one skb.
enum class Offloads { kOn, kOff, kSingle };

class DelayLink {
 public:
  DelayLink(std::chrono::microseconds one_way, Offloads offloads);
  ~DelayLink();
  DelayLink(const DelayLink&) = delete;
  DelayLink& operator=(const DelayLink&) = delete;

  [[nodiscard]] const test::Namespace& left() const { return left_; }
  [[nodiscard]] const test::Namespace& right() const { return right_; }
  /// Frames that found the link's queue full; a measurement in which this grows is one of the queue.
  [[nodiscard]] std::uint64_t overflows() const { return overflows_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Frame {
    Clock::time_point due;
    std::vector<std::uint8_t> bytes;  ///< with its virtio header
  };
  struct Lane {
    int from = -1;
    int to = -1;
    std::deque<Frame> frames;
    std::size_t queued_bytes = 0;
  };
  void carry();
  void take_in(Lane& lane);
  static void pass_on(Lane& lane);
  void wait() const;

  const std::chrono::microseconds one_way_;
  test::Namespace left_;
  test::Namespace right_;
  UniqueFd left_tap_;
  UniqueFd right_tap_;
  std::array<Lane, 2> lanes_;
  std::vector<std::uint8_t> buffer_;
  std::atomic<std::uint64_t> overflows_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace chaos::bench
