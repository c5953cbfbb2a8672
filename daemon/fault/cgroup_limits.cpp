#include "fault/cgroup_limits.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "fault/cgroup_files.h"
#include "kernel/controlled_cgroups.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr Controller kCpu{"cpu", "cpu.max"};
constexpr Controller kPids{"pids", "pids.max"};
constexpr std::string_view kV1Quota = "cpu.cfs_quota_us";
constexpr std::uint64_t kLeastQuotaUs = 1000;  // min_cfs_quota_period, kernel/sched/core.c

unsigned cpus_online() { return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

/// One file in each of the cgroups that limit the target in this controller.
Result<std::vector<ValuePlace>> files_of(const Controller& controller, std::string_view v1_file,
                                         const ProcessReach& reach) {
  const auto found = controlled_cgroups(controller, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<ValuePlace> files;
  for (const fs::path& directory : found->directories) {
    files.push_back({(directory / (found->v2 ? controller.v2_file : v1_file)).string()});
  }
  return files;
}

Result<std::string> throttled_value(const fs::path& file, Probability level) {
  const auto before = text_in(file);
  if (!before) return std::unexpected(before.error());
  if (file.filename() == kCpu.v2_file) return throttled_cpu_max(*before, level, cpus_online());
  const auto period = text_in(file.parent_path() / "cpu.cfs_period_us");
  if (!period) return std::unexpected(period.error());
  return throttled_cfs_quota(*before, *period, level, cpus_online());
}

Result<std::string> lowered_value(const fs::path& file, Probability level, MostSeen& had) {
  const auto before = text_in(file);
  const auto current = text_in(file.parent_path() / "pids.current");
  if (!before) return std::unexpected(before.error());
  if (!current) return std::unexpected(current.error());
  const auto tasks = parse_unsigned(*current);
  if (!tasks) return std::unexpected(tasks.error());
  return lowered_pids_max(std::to_string(had(file, *tasks)), *before, level);
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
  return std::to_string(std::max(share_left(allowed, level), kLeastQuotaUs));
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
  const std::uint64_t lowered = share_left(*tasks, level);
  if (lowered < *limit) return std::to_string(lowered);
  return fail(Errc::kRefused, fmt::format("its limit is {} already, and {} tasks are there", before, current),
              "parameters.level", "a limit below the one that there is", "choose a higher level");
}

CgroupValues::Meaning cpu_throttle(Probability level) {
  const auto measure = [since = std::make_shared<CountsSince>()](const std::set<fs::path>& directories) {
    std::uint64_t periods = 0;
    std::uint64_t throttled = 0;
    for (const fs::path& directory : directories) {
      periods += (*since)(directory / "cpu.stat", "nr_periods");
      throttled += (*since)(directory / "cpu.stat", "nr_throttled");
    }
    return std::map<std::string, std::string>{{"throttled", fmt::format("{} of {} periods", throttled, periods)}};
  };
  return {.where = [](const ProcessReach& reach) { return files_of(kCpu, kV1Quota, reach); },
          .value = [level](const ValuePlace& place) { return throttled_value(place.path, level); },
          .measure = measure};
}

CgroupValues::Meaning task_limit(Probability level) {
  const auto measure = [since = std::make_shared<CountsSince>()](const std::set<fs::path>& directories) {
    std::uint64_t refused = 0;
    for (const fs::path& directory : directories) refused += (*since)(directory / "pids.events", "max");
    return std::map<std::string, std::string>{{"failed_forks", std::to_string(refused)}};
  };
  return {.where = [](const ProcessReach& reach) { return files_of(kPids, kPids.v2_file, reach); },
          .value = [level, had = std::make_shared<MostSeen>()](
                       const ValuePlace& place) { return lowered_value(place.path, level, *had); },
          .measure = measure};
}

}  // namespace chaos
