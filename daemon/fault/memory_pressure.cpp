#include "fault/memory_pressure.h"

#include <fmt/format.h>

#include "kernel/controlled_cgroups.h"
#include "kernel/proc_tree.h"
#include "load/job.h"
#include "load/memory_pool.h"

namespace chaos {
namespace {

constexpr Controller kMemory{"memory", "memory.max"};

struct Wanted {
  double level = 0;
  double floor = 0;
  double rate = 0;  ///< bytes a second; 0: none
};

Result<Wanted> wanted_by(const Plan& plan) {
  const auto level = get_probability(plan.parameters, "level");
  const auto floor = get_probability(plan.parameters, "floor");
  if (!level) return std::unexpected(level.error());
  if (!floor) return std::unexpected(floor.error());
  Wanted wanted{.level = level->fraction(), .floor = floor->fraction(), .rate = 0};
  if (plan.parameters.contains("rate")) {
    const auto rate = get_bit_rate(plan.parameters, "rate");
    if (!rate) return std::unexpected(rate.error());
    wanted.rate = static_cast<double>(*rate) / 8;
  }
  if (level->ppb() + floor->ppb() <= Probability::from_ppb(UINT64_MAX).ppb()) return wanted;
  return fail(Errc::kInvalid,
              fmt::format("a level of {} does not leave the floor of {} that stays free", level->str(), floor->str()),
              "parameters.level", "level + floor at most 100%",
              fmt::format("at most {} fits",
                          Probability::from_ppb(Probability::from_ppb(UINT64_MAX).ppb() - floor->ppb()).str()));
}

LoadOrder order_for(const Wanted& wanted, const MemoryPool& pool) {
  LoadOrder order{.key = pool.name(), .cgroups = {}, .arguments = {}};
  order.arguments = {fmt::format("job={}", kMemoryJob), fmt::format("level={}", wanted.level),
                     fmt::format("floor={}", wanted.floor), "pool=" + pool.name()};
  if (wanted.rate > 0) order.arguments.push_back(fmt::format("rate={}", wanted.rate));
  return order;
}

Result<std::vector<LoadOrder>> orders_inside(const Wanted& wanted, const ProcessReach& reach) {
  const auto found = controlled_cgroups(kMemory, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<LoadOrder> orders;
  for (const auto& directory : found->directories) {
    const MemoryPool pool(found->v2 ? MemoryPool::Of::kCgroupV2 : MemoryPool::Of::kCgroupV1, directory);
    if (const auto state = pool.read(); !state) return std::unexpected(state.error());
    LoadOrder& order = orders.emplace_back(order_for(wanted, pool));
    order.cgroups.push_back(found->v2 ? place_for_worker(directory, reach) : directory);
  }
  return orders;
}

const MemoryPool& host_pool() {
  static const MemoryPool pool(MemoryPool::Of::kHost, "/proc");
  return pool;
}

/// It takes nothing where others take more.
void warn_of_use(Plan& plan, const MemoryPool& pool, double level) {
  const auto state = pool.read();
  if (!state || state->used_share() < level) return;
  plan.warnings.push_back(fmt::format("{} are in use already: nothing is held until others use less than {}",
                                      format_percent(state->used_share()), format_percent(level)));
}

Status refine(Plan& plan) {
  const auto wanted = wanted_by(plan);
  if (!wanted) return std::unexpected(wanted.error());
  plan.mechanism = "memory that a process of chaosd's holds, first in line for the OOM killer";
  if (plan.reach.host) {
    const auto state = host_pool().read();
    if (!state) return std::unexpected(state.error());
    warn_of_use(plan, host_pool(), wanted->level);
    plan.reach.notes.push_back(
        fmt::format("of {}, {} can be had now", format_size(state->whole), format_size(state->available)));
    return {};
  }
  const auto orders = orders_inside(*wanted, *plan.reach.processes);
  if (!orders) return std::unexpected(orders.error());
  if (!plan.reach.processes->unit.empty()) {
    plan.warnings.push_back("should the OOM killer come all the same, systemd stops the whole of " +
                            plan.reach.processes->unit + " unless its OOMPolicy= is continue");
  }
  for (const LoadOrder& order : *orders) {
    const std::filesystem::path& cgroup = order.cgroups.front();
    plan.mechanism += ", in " + cgroup.string();
    if (const auto pool = MemoryPool::parse(order.key)) warn_of_use(plan, *pool, wanted->level);
    if (proc::read_record(cgroup / "memory.oom.group").value_or("").starts_with('1')) {
      plan.warnings.push_back(
          cgroup.string() + " has memory.oom.group: if the OOM killer comes all the same, it takes all that is in it");
    }
  }
  return {};
}

Result<LoadWorkers::Find> orders(const Plan& plan) {
  const auto wanted = wanted_by(plan);
  if (!wanted) return std::unexpected(wanted.error());
  if (!plan.reach.host) {
    return LoadWorkers::Find([wanted = *wanted](const ProcessReach& reach) { return orders_inside(wanted, reach); });
  }
  return LoadWorkers::Find([wanted = *wanted](const ProcessReach&) -> Result<std::vector<LoadOrder>> {
    return std::vector{order_for(wanted, host_pool())};
  });
}

}  // namespace

const LoadMeans kMemoryPressure{.refine = refine, .orders = orders};

}  // namespace chaos
