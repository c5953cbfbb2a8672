// CrashFault: ends a target's main process by a signal, once or again and again, and tells whether and how fast it came
// back. What is signalled is the process that is the main one then, known by number and start: never one that got the
// number later. Nothing of it outlives chaosd but the deaths themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fault/kind.h"
#include "fault/stint.h"
#include "kernel/process_handle.h"

namespace chaos {

class CrashFault final : public Fault {
 public:
  struct Options {
    int signo = 0;
    std::optional<std::chrono::nanoseconds> every{};  ///< empty: once
    std::optional<std::uint64_t> max_events{};
    bool shadow = false;
  };
  CrashFault(const ProcessReach& reach, ActGate gate, Options options);
  ~CrashFault() override { (void)CrashFault::remove(); }

  Status arm(std::chrono::nanoseconds duration) override;
  void silence() override { stint_.end(); }
  Status remove() override;
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::map<std::string, std::string> achieved(const Counters& counters) const override;
  [[nodiscard]] TargetState target_state() const override { return {}; }
  Status follow(const Reach& reach) override;
  [[nodiscard]] bool ends_with_target() const override { return false; }

 private:
  /// CLOCK_BOOTTIME, by which the kernel notes when a process started.
  using BootTime = std::chrono::nanoseconds;
  void run();
  void strike();
  [[nodiscard]] std::optional<ProcessId> current_main() const;
  [[nodiscard]] bool has_number_of_struck(const ProcessId& process) const;
  void count(std::uint64_t Counters::*outcome);

  const Options options_;
  mutable std::mutex mutex_;
  Counters counters_;
  ProcessReach reach_;                                ///< as of the last look at the target
  std::optional<ProcessId> struck_;                   ///< the last one
  std::optional<BootTime> away_since_;                ///< its signal; empty once it has come back
  std::uint64_t died_ = 0;                            ///< that a signal has ended; it may be handled, and take its time
  std::vector<std::chrono::nanoseconds> back_after_;  ///< each time that it came back: from the signal to the start
  std::vector<std::chrono::nanoseconds> struck_at_;   ///< CLOCK_MONOTONIC
  Stint stint_;                                       ///< last: its thread uses all of the above
};

}  // namespace chaos
