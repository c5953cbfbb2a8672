// Stint: a fault's own thread, from the moment it acts to its end. It ends by itself when the duration is over, when
// the lease has run out or the emergency stop is pulled, whether or not the loop still turns; and when it is told to.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "fault/act_gate.h"

namespace chaos {

class Stint {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Stint(ActGate gate) : gate_(gate) {}
  ~Stint() { join(); }
  Stint(const Stint&) = delete;
  Stint& operator=(const Stint&) = delete;

  /// Runs `job` on the thread, for `duration` on CLOCK_BOOTTIME; the job returns when over() is true. Once. Error:
  /// kInternal if there is no thread to be had.
  Status start(std::chrono::nanoseconds duration, std::function<void()> job);
  /// It is over from now on. Never blocks; any thread.
  void end();
  /// end(), and waits for the job.
  void join();

  /// For the job, and before it: nothing more may be done.
  [[nodiscard]] bool over() const;
  /// For the job: sleeps until then; false when it is over.
  bool sleep_until(TimePoint when);

 private:
  const ActGate gate_;
  std::chrono::nanoseconds deadline_{0};  ///< CLOCK_BOOTTIME; written before the thread is there
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace chaos
