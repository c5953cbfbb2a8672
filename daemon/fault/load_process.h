// LoadProcess: chaosd's side of one load worker (load/worker.h): starts it, puts it where it shall be, tells it to go,
// hears what it measures, ends it. Not synchronized; start() on a thread that lives as long as chaosd, since the
// worker ends with it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "safety/heartbeat.h"

namespace chaos {

/// What a worker of this chaosd needs to know of it. Must outlive the faults that use it.
struct LoadGround {
  UniqueFd pidfd;  ///< of chaosd
  const Heartbeat& heartbeat;
  std::string instance;
  /// Error: kInternal.
  static Result<LoadGround> create(const Heartbeat& heartbeat, std::string_view instance);
};

/// One worker's work.
struct LoadOrder {
  std::string key;                             ///< tells it from the fault's others: where it is
  std::vector<std::filesystem::path> cgroups;  ///< that it is put into first; empty: it stays with chaosd
  std::vector<std::string> arguments;          ///< NAME=VALUE, see load/job.h
};

class LoadProcess {
 public:
  /// It is where it shall be and has found that the work can be done; it does nothing yet. Blocks for some 10 ms, 5 s
  /// at the longest. Errors: the worker's own; kUnavailable (no answer); kInternal.
  static Result<std::unique_ptr<LoadProcess>> start(const LoadGround& ground, const LoadOrder& order);
  ~LoadProcess() { (void)end(); }
  LoadProcess(const LoadProcess&) = delete;
  LoadProcess& operator=(const LoadProcess&) = delete;

  /// It acts from here on, until CLOCK_BOOTTIME reads `until`. Error: kUnavailable if it has ended.
  Status go(std::chrono::nanoseconds until);
  /// Takes in what it has said meanwhile; false once it has ended.
  bool poll();
  /// SIGKILL, and waits: all that it had is back. Error: kInternal if it is still there after 10 s (in a cgroup that is
  /// frozen, say).
  Status end();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::map<std::string, std::string>& figures() const { return figures_; }
  [[nodiscard]] const std::vector<std::string>& remarks() const { return remarks_; }
  /// How it ended, if it was not chaosd, the lease or its time that ended it; else empty.
  [[nodiscard]] std::string mishap() const;

 private:
  LoadProcess() = default;
  Status prepare(const LoadOrder& order);
  void reap();

  pid_t pid_ = 0;
  UniqueFd pidfd_;
  UniqueFd socket_;
  bool gone_ = false;
  int wait_status_ = 0;
  std::map<std::string, std::string> figures_;
  std::vector<std::string> remarks_;
};

}  // namespace chaos
