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

/// Counts since they were first asked for, by file and name.
class CountsSince {
 public:
  std::uint64_t operator()(const std::filesystem::path& file, std::string_view name);

 private:
  std::map<std::string, std::uint64_t> first_;
};

}  // namespace chaos
