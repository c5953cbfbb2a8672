#include "fault/cgroup_limits.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "kernel/controlled_cgroups.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr Controller kCpu{"cpu", "cpu.max"};
constexpr Controller kPids{"pids", "pids.max"};
constexpr std::string_view kV1Quota = "cpu.cfs_quota_us";
constexpr std::uint64_t kLeastQuotaUs = 1000;  // min_cfs_quota_period, kernel/sched/core.c

unsigned cpus_online() { return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

std::string_view trimmed(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

Result<std::string> value_in(const fs::path& file) {
  auto text = proc::read_record(file);
  if (text) *text = trimmed(*text);
  return text;
}

/// The number behind "NAME " in a file of such lines (cpu.stat, pids.events); 0 if it is not there.
std::uint64_t count_in(const fs::path& file, std::string_view name) {
  const std::string text = "\n" + proc::read_record(file).value_or("");
  const std::string label = fmt::format("\n{} ", name);
  const std::size_t at = text.find(label);
  if (at == std::string::npos) return 0;
  const std::size_t begin = at + label.size();
  return parse_unsigned(std::string_view(text).substr(begin, text.find('\n', begin) - begin)).value_or(0);
}

std::uint64_t cut(std::uint64_t allowed, Probability level) {
  // Down to a whole number, of which a double may be short by a hair.
  constexpr double kHair = 1e-6;
  return static_cast<std::uint64_t>(static_cast<double>(allowed) * (1 - level.fraction()) + kHair);
}

/// Counts since they were first asked for, by file and name.
class Since {
 public:
  std::uint64_t operator()(const fs::path& file, std::string_view name) {
    const std::uint64_t now = count_in(file, name);
    const auto [first, is_new] = first_.try_emplace(file.string() + " " + std::string(name), now);
    return now - first->second;
  }

 private:
  std::map<std::string, std::uint64_t> first_;
};

Result<std::vector<CgroupValue>> throttled_values(const ProcessReach& reach, Probability level) {
  const auto found = controlled_cgroups(kCpu, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<CgroupValue> values;
  for (const fs::path& directory : found->directories) {
    const fs::path file = directory / (found->v2 ? kCpu.v2_file : kV1Quota);
    const auto before = value_in(file);
    if (!before) return std::unexpected(before.error());
    const auto period = found->v2 ? Result<std::string>() : value_in(directory / "cpu.cfs_period_us");
    if (!period) return std::unexpected(period.error());
    auto value = found->v2 ? throttled_cpu_max(*before, level, cpus_online())
                           : throttled_cfs_quota(*before, *period, level, cpus_online());
    if (!value) return with_context(file.string(), value.error());
    values.push_back({file, std::move(*value)});
  }
  return values;
}

Result<std::vector<CgroupValue>> lowered_values(const ProcessReach& reach, Probability level) {
  const auto found = controlled_cgroups(kPids, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<CgroupValue> values;
  for (const fs::path& directory : found->directories) {
    const fs::path file = directory / kPids.v2_file;
    const auto before = value_in(file);
    const auto current = value_in(directory / "pids.current");
    if (!before) return std::unexpected(before.error());
    if (!current) return std::unexpected(current.error());
    auto value = lowered_pids_max(*current, *before, level);
    if (!value) return with_context(file.string(), value.error());
    values.push_back({file, std::move(*value)});
  }
  return values;
}

}  // namespace

Result<std::string> throttled_cfs_quota(std::string_view quota, std::string_view period, Probability level,
                                        unsigned cpus) {
  const auto period_us = parse_unsigned(period);
  const auto quota_us = quota == "-1" ? Result<std::uint64_t>(UINT64_MAX) : parse_unsigned(quota);
  if (!period_us || !quota_us) {
    return fail(Errc::kInternal, fmt::format("'{}' in a period of '{}' is no CPU limit", quota, period));
  }
  const std::uint64_t allowed = std::min(*quota_us, *period_us * cpus);
  return std::to_string(std::max(cut(allowed, level), kLeastQuotaUs));
}

Result<std::string> throttled_cpu_max(std::string_view before, Probability level, unsigned cpus) {
  const std::size_t blank = std::min(before.find(' '), before.size());
  const std::string_view quota = before.substr(0, blank);
  const std::string_view period = before.substr(std::min(blank + 1, before.size()));
  const auto value = throttled_cfs_quota(quota == "max" ? "-1" : quota, period, level, cpus);
  if (!value) return value;
  return fmt::format("{} {}", *value, period);
}

Result<std::string> lowered_pids_max(std::string_view current, std::string_view before, Probability level) {
  const auto tasks = parse_unsigned(current);
  const auto limit = before == "max" ? Result<std::uint64_t>(UINT64_MAX) : parse_unsigned(before);
  if (!tasks || !limit) return fail(Errc::kInternal, fmt::format("'{}' of '{}' is no limit of tasks", current, before));
  const std::uint64_t lowered = cut(*tasks, level);
  if (lowered < *limit) return std::to_string(lowered);
  return fail(Errc::kRefused, fmt::format("its limit is {} already, and {} tasks are there", before, current),
              "parameters.level", "a limit below the one that there is", "choose a higher level");
}

CgroupValues::Meaning cpu_throttle(Probability level) {
  const auto measure = [since = std::make_shared<Since>()](const std::vector<fs::path>& files) {
    std::uint64_t periods = 0;
    std::uint64_t throttled = 0;
    for (const fs::path& file : files) {
      periods += (*since)(file.parent_path() / "cpu.stat", "nr_periods");
      throttled += (*since)(file.parent_path() / "cpu.stat", "nr_throttled");
    }
    return std::map<std::string, std::string>{{"throttled", fmt::format("{} of {} periods", throttled, periods)}};
  };
  return {.find = [level](const ProcessReach& reach) { return throttled_values(reach, level); }, .measure = measure};
}

CgroupValues::Meaning task_limit(Probability level) {
  const auto measure = [since = std::make_shared<Since>()](const std::vector<fs::path>& files) {
    std::uint64_t refused = 0;
    for (const fs::path& file : files) refused += (*since)(file.parent_path() / "pids.events", "max");
    return std::map<std::string, std::string>{{"failed_forks", std::to_string(refused)}};
  };
  return {.find = [level](const ProcessReach& reach) { return lowered_values(reach, level); }, .measure = measure};
}

}  // namespace chaos
