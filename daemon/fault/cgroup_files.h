// What files of cgroups say, for limits that are made of them. Looks only; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace chaos {

/// The whole file, without blanks and line ends at its end.
[[nodiscard]] Result<std::string> text_in(const std::filesystem::path& file);
/// The number behind "NAME " in a file of such lines (cpu.stat, pids.events); 0 if it is not there.
[[nodiscard]] std::uint64_t count_in(const std::filesystem::path& file, std::string_view name);

/// 1 - `level` of `amount`, down to a whole number.
[[nodiscard]] std::uint64_t share_left(std::uint64_t amount, Probability level);

/// What has been counted since it was first asked for. A count that begins anew (its cgroup was made anew) adds to what
/// there was.
class CountsSince {
 public:
  /// By file and name, as count_in().
  std::uint64_t operator()(const std::filesystem::path& file, std::string_view name);
  std::uint64_t operator()(const std::string& key, std::uint64_t now);

 private:
  struct Count {
    std::uint64_t last = 0;
    std::uint64_t all = 0;
  };
  std::map<std::string, Count> counts_;
};

/// The most that there was of something at each place, from when it was first asked for: a target that has just been
/// started anew has next to nothing yet.
class MostSeen {
 public:
  std::uint64_t operator()(const std::filesystem::path& place, std::uint64_t now);

 private:
  std::map<std::string, std::uint64_t> most_;
};

}  // namespace chaos
