#include "kernel/syscall_maps.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>
#include <atomic>

namespace chaos {
namespace {

/// `cpus`: of which there may be tallies.
std::array<MapSpec, 6> specs(std::uint32_t cpus) {
  return {{
      {"syscall_rule", "sru", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_rule), 1, BPF_F_MMAPABLE},
      {"syscall_state", "sst", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_state), 1, BPF_F_MMAPABLE},
      {"syscall_tallies", "sta", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_tally), cpus, BPF_F_MMAPABLE},
      {"syscall_outcomes", "sou", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_outcomes), 1, BPF_F_MMAPABLE},
      {"syscall_members", "sme", BPF_MAP_TYPE_HASH, 4, CHAOS_MAX_PROCESSES, BPF_F_NO_PREALLOC},
      // A budget of its own, and not of the packet faults' table.
      {"budgets", "sbu", BPF_MAP_TYPE_ARRAY, sizeof(chaos_budget), CHAOS_MAX_FAULTS, BPF_F_MMAPABLE},
  }};
}

std::uint64_t load(__u64& counter) { return std::atomic_ref(counter).load(std::memory_order_relaxed); }

}  // namespace

Result<SyscallMaps> SyscallMaps::create(std::string_view tag) {
  SyscallMaps maps;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count CPUs", -cpus);
  auto set = MapSet::create(tag, specs(static_cast<std::uint32_t>(cpus)));
  if (!set) return std::unexpected(set.error());
  maps.maps_ = std::move(*set);
  Status status = maps.maps_.map_into(maps.rule_, "syscall_rule", 1);
  if (status) status = maps.maps_.map_into(maps.tallies_, "syscall_tallies", static_cast<std::size_t>(cpus));
  if (status) status = maps.maps_.map_into(maps.outcomes_, "syscall_outcomes", 1);
  if (!status) return std::unexpected(status.error());
  return maps;
}

chaos_counters SyscallMaps::read_counters() const {
  chaos_counters sum{};
  for (std::size_t cpu = 0; cpu < tallies_.size(); ++cpu) {
    chaos_counters& own = tallies_[cpu].counters;
    sum.injected += load(own.injected);
    sum.shadowed += load(own.shadowed);
    sum.not_sampled += load(own.not_sampled);
    sum.spared_protected += load(own.spared_protected);
    sum.spared_budget += load(own.spared_budget);
    sum.spared_expired += load(own.spared_expired);
    sum.over_limit += load(own.over_limit);
    sum.injected_jointly += load(own.injected_jointly);
  }
  return sum;
}

std::uint64_t SyscallMaps::read_evaluated() const {
  std::uint64_t sum = 0;
  for (std::size_t cpu = 0; cpu < tallies_.size(); ++cpu) sum += load(tallies_[cpu].evaluated);
  return sum;
}

std::uint64_t SyscallMaps::read_injected(unsigned number, unsigned place) const {
  return load(outcomes_[0].injected[number][place]);
}

}  // namespace chaos
