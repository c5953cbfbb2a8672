// What load workers and others take, seen from outside: /proc, cgroup files. Needs root.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>

#include "base/unique_fd.h"
#include "support/limited.h"

namespace chaos::test {

/// The load workers of a chaosd instance that are there now (zombies left out).
[[nodiscard]] std::set<pid_t> load_workers(const std::string& instance);

/// CPU time of the host's CPUs that was neither idle nor waiting for a disk, and all of it (/proc/stat).
struct HostCpu {
  double used = 0;
  double all = 0;
};
[[nodiscard]] HostCpu host_cpu();
/// CPU time that a cgroup of the v2 tree has used (cpu.stat).
[[nodiscard]] std::chrono::microseconds cgroup_cpu(const TestCgroup& cgroup);

/// A line of /proc/meminfo in bytes.
[[nodiscard]] double meminfo(const std::string& name);
/// What a cgroup of either version uses, without what can be given up at once, in bytes.
[[nodiscard]] double memory_used(const LimitedCgroup& cgroup);
void limit_memory(const LimitedCgroup& cgroup, std::uint64_t bytes);

/// A process that takes memory and gives it back as it is told.
class MemoryUser {
 public:
  explicit MemoryUser(const LimitedCgroup& cgroup);
  ~MemoryUser();
  MemoryUser(const MemoryUser&) = delete;
  MemoryUser& operator=(const MemoryUser&) = delete;
  /// It holds so many bytes from here on. Throws if it was killed meanwhile.
  void hold(std::size_t bytes) const;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  UniqueFd orders_;
  UniqueFd answers_;
  pid_t pid_ = -1;
};

}  // namespace chaos::test
