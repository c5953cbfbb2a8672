#include "load/memory_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/units.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, MemoryPool::Of>, 3> kNames{
    {{"host", MemoryPool::Of::kHost}, {"v2", MemoryPool::Of::kCgroupV2}, {"v1", MemoryPool::Of::kCgroupV1}}};
/// No limit of v1's is a number of this size or more.
constexpr double kNoLimit = 1e18;

/// The number behind NAME at the beginning of a line.
std::optional<double> number_of(const std::string& text, std::string_view name) {
  const std::string all = "\n" + text;
  std::size_t at = all.find(fmt::format("\n{}", name));
  if (at == std::string::npos) return std::nullopt;
  at = all.find_first_not_of(" :", at + name.size() + 1);
  const auto value = parse_unsigned(std::string_view(all).substr(at, all.find_first_of(" \n", at) - at));
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

/// A limit or a use of a cgroup; infinite for "max".
Result<double> value_of(const fs::path& file) {
  auto text = proc::read_record(file);
  if (!text) return std::unexpected(text.error());
  while (text->ends_with('\n')) text->pop_back();
  if (*text == "max") return std::numeric_limits<double>::infinity();
  const auto value = parse_unsigned(*text);
  if (!value) return with_context(file.string(), value.error());
  return static_cast<double>(*value);
}

std::unexpected<Error> no_limit(const fs::path& place) {
  return fail(Errc::kUnsupported, fmt::format("cgroup {} has no limit of memory", place.string()), "target",
              "a cgroup with a limit, or the host", "give it one (MemoryMax=), or aim at host=localhost");
}

Result<MemoryState> of_host(const fs::path& proc) {
  const auto text = proc::read_file(proc / "meminfo");
  if (!text) return std::unexpected(text.error());
  const auto whole = number_of(*text, "MemTotal:");
  const auto available = number_of(*text, "MemAvailable:");
  if (!whole || !available) return fail(Errc::kInternal, (proc / "meminfo").string() + " has no MemAvailable");
  constexpr double kKibi = 1024;
  return MemoryState{.whole = *whole * kKibi, .available = *available * kKibi};
}

Result<MemoryState> state(const fs::path& place, double limit, double used, const std::string& stat,
                          std::initializer_list<std::string_view> reclaimable) {
  if (limit >= kNoLimit) return no_limit(place);
  for (const std::string_view name : reclaimable) used -= number_of(stat, name).value_or(0);
  return MemoryState{.whole = limit, .available = limit - std::max(used, 0.0)};
}

Result<MemoryState> of_v2(const fs::path& place) {
  const auto max = value_of(place / "memory.max");
  const auto high = value_of(place / "memory.high");
  const auto used = value_of(place / "memory.current");
  const auto stat = proc::read_file(place / "memory.stat");
  for (const auto* value : {&max, &high, &used}) {
    if (!*value) return std::unexpected(value->error());
  }
  if (!stat) return std::unexpected(stat.error());
  return state(place, std::min(*max, *high), *used, *stat, {"inactive_file ", "active_file ", "slab_reclaimable "});
}

Result<MemoryState> of_v1(const fs::path& place) {
  const auto used = value_of(place / "memory.usage_in_bytes");
  const auto stat = proc::read_file(place / "memory.stat");
  if (!used) return std::unexpected(used.error());
  if (!stat) return std::unexpected(stat.error());
  const auto limit = number_of(*stat, "hierarchical_memory_limit ");
  return state(place, limit.value_or(kNoLimit), *used, *stat, {"total_inactive_file ", "total_active_file "});
}

}  // namespace

Result<MemoryPool> MemoryPool::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  for (const auto& [name, of] : kNames) {
    if (colon != std::string_view::npos && text.substr(0, colon) == name) return MemoryPool(of, text.substr(colon + 1));
  }
  return fail(Errc::kInternal, fmt::format("'{}' is no pool of memory", text));
}

std::string MemoryPool::name() const {
  const auto* const found = std::ranges::find(kNames, of_, &std::pair<std::string_view, Of>::second);
  return fmt::format("{}:{}", found->first, place_.string());
}

Result<MemoryState> MemoryPool::read() const {
  switch (of_) {
    case Of::kHost:
      return of_host(place_);
    case Of::kCgroupV2:
      return of_v2(place_);
    case Of::kCgroupV1:
      break;
  }
  return of_v1(place_);
}

std::vector<MemoryPool> MemoryPool::around(const MemoryPool& pool) {
  std::vector<MemoryPool> pools{pool};
  if (pool.of_ == MemoryPool::Of::kHost) return pools;
  // What siblings use counts there as well.
  for (fs::path above = pool.place().parent_path(); above.has_relative_path(); above = above.parent_path()) {
    const MemoryPool next(pool.of_, above);
    if (next.read()) pools.push_back(next);
  }
  pools.emplace_back(MemoryPool::Of::kHost, "/proc");
  return pools;
}

}  // namespace chaos
