// ProcessHandle: one process, known for certain: a pidfd of the process with this number that started at this moment.
// Whatever becomes of the number, signals reach this process or nobody. Any thread; signals to others need CAP_KILL.
#pragma once

#include <chrono>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/processes.h"

namespace chaos {

class ProcessHandle {
 public:
  /// Error: kNotFound if it has ended, or the number is another's by now.
  static Result<ProcessHandle> open(const ProcessId& id);

  [[nodiscard]] const ProcessId& id() const { return id_; }
  /// Errors: kNotFound if it has ended; kInternal.
  [[nodiscard]] Status signal(int signo) const;
  /// Waits for its end, at most so long; false if it goes on.
  [[nodiscard]] bool ends_within(std::chrono::milliseconds patience) const;

 private:
  ProcessHandle(const ProcessId& id, UniqueFd pidfd) : id_(id), pidfd_(std::move(pidfd)) {}
  ProcessId id_;
  UniqueFd pidfd_;
};

}  // namespace chaos
