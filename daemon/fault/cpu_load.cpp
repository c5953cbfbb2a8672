#include "fault/cpu_load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <system_error>

#include "fault/cgroup_limits.h"
#include "kernel/controlled_cgroups.h"
#include "kernel/proc_tree.h"
#include "load/job.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr Controller kUse{"cpuacct", "cpu.stat"};
constexpr Controller kTime{"cpu", "cpu.max"};

std::string trimmed(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<std::set<unsigned>> numbers(std::string_view list) {
  std::set<unsigned> found;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view item = list.substr(0, comma);
    const std::size_t dash = item.find('-');
    const auto first = parse_unsigned(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_unsigned(item.substr(dash + 1));
    constexpr std::uint64_t kMost = 1U << 16;
    if (!first || !last || *first > *last || *last >= kMost) return fail(Errc::kInvalid, "no list of CPUs");
    for (std::uint64_t cpu = *first; cpu <= *last; ++cpu) found.insert(static_cast<unsigned>(cpu));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return found;
}

Result<std::vector<unsigned>> online_cpus(const std::string& wanted) {
  const auto online = proc::read_record("/sys/devices/system/cpu/online");
  if (!online) return std::unexpected(online.error());
  return parse_cpus(wanted.empty() ? trimmed(*online) : wanted, trimmed(*online));
}

/// How many CPUs' time the limit of this very cgroup leaves it; nothing where it has none.
std::optional<double> quota_of(bool v2, const fs::path& directory) {
  std::string quota;
  std::string period;
  if (v2) {
    const std::string text = trimmed(proc::read_record(directory / kTime.v2_file).value_or(""));
    const std::size_t blank = std::min(text.find(' '), text.size());
    quota = text.substr(0, blank);
    period = text.substr(std::min(blank + 1, text.size()));
  } else {
    quota = trimmed(proc::read_record(directory / "cpu.cfs_quota_us").value_or(""));
    period = trimmed(proc::read_record(directory / "cpu.cfs_period_us").value_or(""));
  }
  const auto quota_us = parse_unsigned(quota);
  const auto period_us = parse_unsigned(period);
  if (!quota_us || !period_us || *period_us == 0) return std::nullopt;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

}  // namespace

double allowed_cpus(bool v2, const fs::path& directory, std::size_t cpus) {
  auto least = static_cast<double>(cpus);
  std::error_code error;
  for (fs::path at = directory; fs::exists(at / "cgroup.procs", error); at = at.parent_path()) {
    if (const auto quota = quota_of(v2, at)) least = std::min(least, *quota);
  }
  return least;
}

namespace {

struct Wanted {
  double level = 0;
  std::string cpus;  ///< as given; empty: all
  std::vector<unsigned> numbers;
};

Result<Wanted> wanted_by(const Plan& plan) {
  const auto level = get_probability(plan.parameters, "level");
  if (!level) return std::unexpected(level.error());
  Wanted wanted{.level = level->fraction(), .cpus = {}, .numbers = {}};
  if (plan.parameters.contains("cpus")) wanted.cpus = plan.parameters.at("cpus");
  auto numbers_of = online_cpus(wanted.cpus);
  if (!numbers_of) return std::unexpected(numbers_of.error());
  wanted.numbers = std::move(*numbers_of);
  return wanted;
}

LoadOrder order_for(const Wanted& wanted, std::string key, bool all_cpus_by_number) {
  LoadOrder order{.key = std::move(key), .cgroups = {}, .arguments = {}};
  order.arguments = {fmt::format("job={}", kCpuJob), fmt::format("level={}", wanted.level)};
  if (all_cpus_by_number || !wanted.cpus.empty()) {
    order.arguments.push_back(fmt::format("cpus={}", fmt::join(wanted.numbers, ",")));
  }
  return order;
}

/// In the cgroups that account for CPU time and those that limit it: one and the same in v2.
Result<std::vector<LoadOrder>> orders_inside(const Wanted& wanted, const ProcessReach& reach) {
  const auto use = controlled_cgroups(kUse, reach.cgroups, reach.members);
  if (!use) return std::unexpected(use.error());
  const auto time = controlled_cgroups(kTime, reach.cgroups, reach.members);
  if (!time && time.error().code != Errc::kUnsupported) return std::unexpected(time.error());
  const bool apart = time && time->directories != use->directories;
  if (apart && (use->directories.size() > 1 || time->directories.size() > 1)) {
    return fail(Errc::kUnsupported, "the target lives in several cgroups, and differently in both hierarchies",
                "target", "one cgroup, or cgroup v2", "aim at one of them");
  }
  std::vector<LoadOrder> orders;
  for (const fs::path& directory : use->directories) {
    LoadOrder order = order_for(wanted, directory.string(), false);
    order.cgroups.push_back(use->v2 ? place_for_worker(directory, reach) : directory);
    if (apart) order.cgroups.push_back(time->directories.front());
    const fs::path limit = apart ? time->directories.front() : directory;
    const double allowed =
        time ? allowed_cpus(time->v2, limit, wanted.numbers.size()) : static_cast<double>(wanted.numbers.size());
    order.arguments.push_back(
        fmt::format("usage={}", (directory / (use->v2 ? kUse.v2_file : "cpuacct.usage")).string()));
    order.arguments.push_back(fmt::format("allowed={}", allowed));
    orders.push_back(std::move(order));
  }
  return orders;
}

Status refine(Plan& plan) {
  const auto wanted = wanted_by(plan);
  if (!wanted) return std::unexpected(wanted.error());
  plan.mechanism = fmt::format("threads of a process of chaosd's on CPUs {}", fmt::join(wanted->numbers, ","));
  if (plan.reach.host) return {};
  const auto orders = orders_inside(*wanted, *plan.reach.processes);
  if (!orders) return std::unexpected(orders.error());
  for (const LoadOrder& order : *orders) plan.mechanism += ", in " + order.cgroups.front().string();
  return {};
}

Result<LoadWorkers::Find> orders(const Plan& plan) {
  auto wanted = wanted_by(plan);
  if (!wanted) return std::unexpected(wanted.error());
  if (!plan.reach.host) {
    return LoadWorkers::Find(
        [wanted = std::move(*wanted)](const ProcessReach& reach) { return orders_inside(wanted, reach); });
  }
  return LoadWorkers::Find([wanted = std::move(*wanted)](const ProcessReach&) -> Result<std::vector<LoadOrder>> {
    return std::vector{order_for(wanted, "host", true)};
  });
}

}  // namespace

const LoadMeans kCpuLoad{.refine = refine, .orders = orders};

Result<std::vector<unsigned>> parse_cpus(std::string_view list, std::string_view online) {
  const auto there = numbers(online);
  const auto wanted = numbers(list);
  if (!there) return fail(Errc::kInternal, fmt::format("'{}' is no list of CPUs", online));
  const bool good = wanted && !wanted->empty() && std::ranges::includes(*there, *wanted);
  if (good) return std::vector<unsigned>(wanted->begin(), wanted->end());
  return fail(Errc::kInvalid, fmt::format("'{}' is no list of CPUs of this host", list), "parameters.cpus",
              fmt::format("of {}", online), "write 0, 0-3 or 0,2");
}

}  // namespace chaos
