// Witness: a thread on each CPU that wants to run every 250 µs, before everything that is measured. When one of them
// did not run for milliseconds nothing else of ours can have run there either: the machine was held from outside (a
// virtual CPU that its host does not run, an interrupt that does not return). Started and asked by one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace chaos::bench {

class Witness {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// A CPU that did not run its thread for so long was held.
  static constexpr std::chrono::milliseconds kHeld{2};

  /// Starts on every CPU that this process may use. Real-time priority where permitted: without it, a witness also sees
  /// how busy the machine is.
  Witness();
  ~Witness();
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  struct Interval {
    TimePoint from{};
    TimePoint to{};
  };
  /// When CPUs were held since the start, not ordered. Ends the threads; call once.
  [[nodiscard]] std::vector<Interval> finish();

 private:
  struct Cpu {
    unsigned number = 0;
    std::vector<Interval> held{};
    std::thread thread{};
  };
  void watch(Cpu& cpu) const;

  std::atomic<bool> stop_{false};
  std::vector<Cpu> cpus_;
};

/// How much of the time from `from` to `to` one CPU or more was held.
[[nodiscard]] std::chrono::nanoseconds held_time(std::vector<Witness::Interval> intervals, Witness::TimePoint from,
                                                 Witness::TimePoint to);

}  // namespace chaos::bench
