// MemoryPool: how much memory there is, and how much of it can still be had: of the host, or of a cgroup with a limit.
// What the kernel would give up at once (page cache) can be had. Reads files; one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos {

struct MemoryState {
  double whole = 0;      ///< bytes
  double available = 0;  ///< bytes; less than 0 if a limit was lowered below what is in use
  [[nodiscard]] double used_share() const { return whole > 0 ? 1 - available / whole : 0; }
};

class MemoryPool {
 public:
  enum class Of { kHost, kCgroupV2, kCgroupV1 };
  /// kHost: `place` is /proc, and MemTotal and MemAvailable of its meminfo count. A cgroup: its directory; memory.max
  /// or memory.high, whichever is less (v1: the least limit of it and those above it), and what it uses with all below
  /// it but for page cache and reclaimable slabs.
  MemoryPool(Of of, std::filesystem::path place) : of_(of), place_(std::move(place)) {}
  /// "host:/proc", "v2:/sys/fs/cgroup/x", as name() gives it. Error: kInternal.
  static Result<MemoryPool> parse(std::string_view text);

  [[nodiscard]] std::string name() const;
  [[nodiscard]] const std::filesystem::path& place() const { return place_; }
  /// Errors: kInternal, kUnsupported (a cgroup without a limit).
  [[nodiscard]] Result<MemoryState> read() const;

  /// The pool first, then those in which it lies: the cgroups above it that have a limit, and the host.
  [[nodiscard]] static std::vector<MemoryPool> around(const MemoryPool& pool);

 private:
  Of of_;
  std::filesystem::path place_;
};

}  // namespace chaos
