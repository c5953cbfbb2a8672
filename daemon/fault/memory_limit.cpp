#include "fault/memory_limit.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "fault/cgroup_files.h"
#include "kernel/cgroup.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLeast = std::uint64_t{1} << 20;  // for page tables, kernel stacks, the text of the programs

Result<std::uint64_t> bytes_or_max(std::string_view text) {
  return text == "max" ? Result<std::uint64_t>(UINT64_MAX) : parse_unsigned(text);
}

std::unexpected<Error> not_here(const std::string& where) {
  return fail(
      Errc::kUnsupported,
      fmt::format("{}; what v1 has instead kills (memory.limit_in_bytes) or waits until the whole host is short "
                  "of memory (memory.soft_limit_in_bytes)",
                  where),
      "target", "a cgroup of the v2 tree with the memory controller",
      "see cgroup.subtree_control of the cgroup above it");
}

Result<std::vector<ValuePlace>> files_of(const ProcessReach& reach) {
  const auto tree = CgroupTree::find();
  if (reach.cgroups.empty() || !tree) return not_here("single processes have no limit of their own");
  std::vector<ValuePlace> files;
  for (const Cgroup& cgroup : reach.cgroups) {
    const fs::path file = tree->mount_point() / cgroup.path.substr(1) / "memory.high";
    std::error_code ignored;
    if (!fs::exists(file, ignored)) return not_here(fmt::format("cgroup {} has no memory.high", cgroup.path));
    files.push_back({file.string()});
  }
  return files;
}

Result<std::string> lowered_value(const fs::path& file, Probability level, MostSeen& had) {
  const auto high = text_in(file);
  const auto current = text_in(file.parent_path() / "memory.current");
  const auto max = text_in(file.parent_path() / "memory.max");
  for (const auto* text : {&high, &current, &max}) {
    if (!*text) return std::unexpected(text->error());
  }
  const auto bytes = parse_unsigned(*current);
  if (!bytes) return std::unexpected(bytes.error());
  return lowered_memory_high(std::to_string(had(file, *bytes)), *high, *max, level);
}

std::map<std::string, std::string> measure(const std::set<fs::path>& directories, CountsSince& since) {
  std::uint64_t current = 0;
  std::uint64_t held_up = 0;
  for (const fs::path& directory : directories) {
    current += parse_unsigned(text_in(directory / "memory.current").value_or("")).value_or(0);
    held_up += since(directory / "memory.events", "high");
  }
  return {{"memory", format_bytes(current)}, {"held_up", fmt::format("{} times", held_up)}};
}

}  // namespace

Result<std::string> lowered_memory_high(std::string_view current, std::string_view high, std::string_view max,
                                        Probability level) {
  const auto page = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_PAGESIZE)));
  const auto used = parse_unsigned(current);
  const auto high_now = bytes_or_max(high);
  const auto max_now = bytes_or_max(max);
  if (!used || !high_now || !max_now) {
    return fail(Errc::kInternal, fmt::format("'{}' of '{}' and '{}' is no limit of memory", current, high, max));
  }
  const std::uint64_t lowered = std::max(share_left(*used, level), kLeast) / page * page;
  if (lowered < std::min(*high_now, *max_now)) return std::to_string(lowered);
  return fail(Errc::kRefused,
              fmt::format("its limit is {} already, and it has {}", format_bytes(std::min(*high_now, *max_now)),
                          format_bytes(*used)),
              "parameters.level", "a limit below the one that there is", "choose a higher level");
}

CgroupValues::Meaning memory_limit(Probability level) {
  return {.where = files_of,
          .value = [level, had = std::make_shared<MostSeen>()](
                       const ValuePlace& place) { return lowered_value(place.path, level, *had); },
          .measure = [since = std::make_shared<CountsSince>()](
                         const std::set<fs::path>& directories) { return measure(directories, *since); }};
}

}  // namespace chaos
