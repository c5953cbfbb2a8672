// What stands still and what works, seen from outside: cgroup files, /proc, and processes that count. Needs root.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <string>

#include "support/cgroup.h"
#include "support/child.h"
#include "support/temp_dir.h"

namespace chaos::test {

/// A process in a cgroup that counts on in a file, to the end of the object.
class Busy {
 public:
  /// `forks`: a child for each pause.
  explicit Busy(const TestCgroup& cgroup, bool forks = true);
  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  /// Whether the count goes on within this time.
  [[nodiscard]] bool works_within(std::chrono::milliseconds time) const;

 private:
  [[nodiscard]] std::string count() const;
  TempDir dir_;
  Child child_;
};

/// A process that never sleeps and sums up for how long it did not get to run, in spells of 1 ms or more: what a halt
/// feels like, and what a busy machine does.
class ClockWatcher {
 public:
  explicit ClockWatcher(const TestCgroup& cgroup);
  ~ClockWatcher();
  ClockWatcher(const ClockWatcher&) = delete;
  ClockWatcher& operator=(const ClockWatcher&) = delete;
  /// Up to now.
  [[nodiscard]] std::chrono::nanoseconds stood_still() const;

 private:
  struct Page;
  Page* page_ = nullptr;
  pid_t pid_ = -1;
};

/// One value of a cgroup's, without the line's end.
[[nodiscard]] std::string value_of(const TestCgroup& cgroup, const std::string& file);
/// All that is in it and below has come to a halt (cgroup.events).
[[nodiscard]] bool is_frozen(const TestCgroup& cgroup);
/// Shares of the time, by looking all the time.
struct FrozenShare {
  double told = 0;   ///< cgroup.freeze says so
  double stood = 0;  ///< all have come to a halt
};
[[nodiscard]] FrozenShare frozen_share(const TestCgroup& cgroup, std::chrono::milliseconds time);

/// Neither gone nor a zombie.
[[nodiscard]] bool exists(pid_t pid);
/// The state letter of /proc/PID/stat; '?' if it is gone.
[[nodiscard]] char state_of(pid_t pid);
/// Stopped by a signal; or it waits for a child that is, as who has called vfork(2) does, without being stopped itself.
[[nodiscard]] bool is_stopped(pid_t pid);
/// The process and all below it.
[[nodiscard]] std::set<pid_t> tree_of(pid_t pid);
[[nodiscard]] bool all_in_state(const std::set<pid_t>& pids, char state);

}  // namespace chaos::test
