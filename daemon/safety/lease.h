// Lease: the in-kernel dead-man's switch. A thread that does nothing else stores "now + 1 s" into the control page
// every 250 ms, and only while the main loop's progress stamp is fresh (3 s). When chaosd is stopped or its loop hangs,
// the lease runs out and every BPF fault is silent with no user-space help. A lease that has run out is never renewed
// by itself: the loop first ends all scenarios, then calls restart().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/chaos_abi.h"

namespace chaos {

class Lease {
 public:
  static constexpr std::chrono::milliseconds kPeriod{250};
  static constexpr std::chrono::milliseconds kValidity{1000};
  static constexpr std::chrono::milliseconds kLoopPatience{3000};

  /// `heartbeat`: stamped with every renewal, for the guardian. `progress`: CLOCK_MONOTONIC ns of the loop's last sign
  /// of life. `on_lapse` runs on the lease thread, once for each lapse, and must not block. `control`, `progress` and
  /// `heartbeat` must outlive the lease. The thread runs as SCHED_FIFO where that is permitted.
  static Result<std::unique_ptr<Lease>> start(chaos_control& control, const std::atomic<std::uint64_t>& progress,
                                              std::function<void()> on_lapse,
                                              std::atomic<std::uint64_t>* heartbeat = nullptr);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// True from a lapse to restart(). Any thread.
  [[nodiscard]] bool lapsed() const { return lapsed_.load(); }
  /// Time left; negative after a lapse. Any thread.
  [[nodiscard]] std::chrono::nanoseconds margin() const;
  /// After a lapse, when no fault is active any more: renew again. Any thread.
  void restart();
  [[nodiscard]] bool realtime() const { return realtime_.load(); }

 private:
  Lease(chaos_control& control, const std::atomic<std::uint64_t>& progress, std::function<void()> on_lapse,
        std::atomic<std::uint64_t>* heartbeat);
  void renew(std::uint64_t until_ns);
  void run();
  void tick();

  chaos_control& control_;
  const std::atomic<std::uint64_t>& progress_;
  std::function<void()> on_lapse_;
  std::atomic<std::uint64_t>* const heartbeat_;
  std::atomic<bool> lapsed_{false};
  std::atomic<bool> restart_wanted_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> realtime_{false};
  UniqueFd timer_;
  UniqueFd wake_;
  std::thread thread_;
};

}  // namespace chaos
