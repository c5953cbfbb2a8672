#include "kernel/syscall_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>
#include <atomic>
#include <string>

#include "kernel/bpf_compat.h"

namespace chaos {
namespace {

struct MapSpec {
  std::string_view bpf_name;
  std::string_view short_name;  ///< in the kernel: chaos_TAG_<short_name>
  bpf_map_type type;
  std::uint32_t value_size;
  std::uint32_t entries;  ///< 0: one for each possible CPU
  std::uint32_t flags;
};

constexpr std::array kMaps{
    MapSpec{"syscall_rule", "sru", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_rule), 1, BPF_F_MMAPABLE},
    MapSpec{"syscall_state", "sst", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_state), 1, BPF_F_MMAPABLE},
    MapSpec{"syscall_tallies", "sta", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_tally), 0, BPF_F_MMAPABLE},
    MapSpec{"syscall_outcomes", "sou", BPF_MAP_TYPE_ARRAY, sizeof(chaos_syscall_outcomes), 1, BPF_F_MMAPABLE},
    MapSpec{"syscall_members", "sme", BPF_MAP_TYPE_HASH, 4, CHAOS_MAX_PROCESSES, BPF_F_NO_PREALLOC},
    // A budget of its own, and not of the packet faults' table.
    MapSpec{"budgets", "sbu", BPF_MAP_TYPE_ARRAY, sizeof(chaos_budget), CHAOS_MAX_FAULTS, BPF_F_MMAPABLE},
};

std::uint64_t load(__u64& counter) { return std::atomic_ref(counter).load(std::memory_order_relaxed); }

template <class T>
Status map_into(MappedArray<T>& target, const UniqueFd& fd, std::size_t entries) {
  auto array = MappedArray<T>::map(fd.get(), entries);
  if (!array) return std::unexpected(array.error());
  target = std::move(*array);
  return {};
}

}  // namespace

Result<SyscallMaps> SyscallMaps::create(std::string_view tag) {
  SyscallMaps maps;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count CPUs", -cpus);
  for (const MapSpec& spec : kMaps) {
    const std::string name = "chaos_" + std::string(tag) + "_" + std::string(spec.short_name);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = spec.flags);
    const std::uint32_t entries = spec.entries == 0 ? static_cast<std::uint32_t>(cpus) : spec.entries;
    UniqueFd fd(bpf_map_create(spec.type, name.c_str(), 4, spec.value_size, entries, &opts));
    if (!fd.valid()) return fail_errno("create BPF map " + name);
    maps.maps_.emplace(spec.bpf_name, std::move(fd));
  }
  Status status = map_into(maps.rule_, maps.maps_.at("syscall_rule"), 1);
  if (status) status = map_into(maps.tallies_, maps.maps_.at("syscall_tallies"), static_cast<std::size_t>(cpus));
  if (status) status = map_into(maps.outcomes_, maps.maps_.at("syscall_outcomes"), 1);
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

std::map<std::string_view, int> SyscallMaps::fds() const {
  std::map<std::string_view, int> all;
  for (const auto& [name, fd] : maps_) all.emplace(name, fd.get());
  return all;
}

std::vector<std::uint32_t> SyscallMaps::ids() const {
  std::vector<std::uint32_t> all;
  for (const auto& [name, fd] : maps_) all.push_back(bpf_map_id(fd.get()));
  return all;
}

}  // namespace chaos
