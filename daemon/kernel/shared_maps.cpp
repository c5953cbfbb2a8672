#include "kernel/shared_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>

namespace chaos {
namespace {

struct MapSpec {
  std::string_view bpf_name;    // in bpf/maps.bpf.h
  std::string_view short_name;  // in the kernel: chaos_TAG_<short_name>, 15 characters in all
  bpf_map_type type;
  std::uint32_t key_size;
  std::uint32_t value_size;
  std::uint32_t entries;
  std::uint32_t flags;
};

constexpr std::array kMaps{
    MapSpec{"control", "ctl", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_control), 1, BPF_F_MMAPABLE},
    MapSpec{"faults", "flt", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_fault), CHAOS_MAX_FAULTS, BPF_F_MMAPABLE},
    MapSpec{"budgets", "bud", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_budget), CHAOS_MAX_FAULTS, BPF_F_MMAPABLE},
    MapSpec{"slots", "slt", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_slot), CHAOS_MAX_SLOTS, BPF_F_MMAPABLE},
    MapSpec{"remote_ports", "rpt", BPF_MAP_TYPE_ARRAY, 4, 8, 65536, BPF_F_MMAPABLE},
    MapSpec{"local_ports", "lpt", BPF_MAP_TYPE_ARRAY, 4, 8, 65536, BPF_F_MMAPABLE},
    MapSpec{"protocols", "pro", BPF_MAP_TYPE_ARRAY, 4, 8, 256, BPF_F_MMAPABLE},
    MapSpec{"protected_ports", "ppt", BPF_MAP_TYPE_ARRAY, 4, 8, CHAOS_PROTECTED_WORDS, BPF_F_MMAPABLE},
    MapSpec{"counters", "cnt", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(chaos_counters), CHAOS_MAX_FAULTS, 0},
    MapSpec{"seen", "see", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, CHAOS_MAX_SLOTS * 2, 0},
    MapSpec{"peers", "per", BPF_MAP_TYPE_LPM_TRIE, sizeof(chaos_prefix_key), 8, CHAOS_MAX_PREFIXES, BPF_F_NO_PREALLOC},
    MapSpec{"protected_peers", "ppr", BPF_MAP_TYPE_LPM_TRIE, sizeof(chaos_prefix_key), 1, 1024, BPF_F_NO_PREALLOC},
    MapSpec{"protected_flows", "pfl", BPF_MAP_TYPE_HASH, sizeof(chaos_tuple), 1, CHAOS_MAX_PROTECTED_FLOWS,
            BPF_F_NO_PREALLOC},
    MapSpec{"flows", "flo", BPF_MAP_TYPE_LRU_HASH, sizeof(chaos_flow_key), 8, CHAOS_MAX_FLOWS, 0},
};

template <class T>
Status map_into(MappedArray<T>& target, int fd, std::size_t entries) {
  auto array = MappedArray<T>::map(fd, entries);
  if (!array) return std::unexpected(array.error());
  target = std::move(*array);
  return {};
}

}  // namespace

Result<SharedMaps> SharedMaps::create(std::string_view tag) {
  SharedMaps maps;
  for (const MapSpec& spec : kMaps) {
    const std::string name = "chaos_" + std::string(tag) + "_" + std::string(spec.short_name);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = spec.flags);
    UniqueFd fd(bpf_map_create(spec.type, name.c_str(), spec.key_size, spec.value_size, spec.entries, &opts));
    if (!fd.valid()) return fail_errno("create BPF map " + name);
    maps.maps_.push_back({spec.bpf_name, std::move(fd)});
  }
  Status status = map_into(maps.control_, maps.fd_of("control"), 1);
  if (status) status = map_into(maps.faults_, maps.fd_of("faults"), CHAOS_MAX_FAULTS);
  if (status) status = map_into(maps.budgets_, maps.fd_of("budgets"), CHAOS_MAX_FAULTS);
  if (status) status = map_into(maps.slots_, maps.fd_of("slots"), CHAOS_MAX_SLOTS);
  if (status) status = map_into(maps.remote_ports_, maps.fd_of("remote_ports"), 65536);
  if (status) status = map_into(maps.local_ports_, maps.fd_of("local_ports"), 65536);
  if (status) status = map_into(maps.protocols_, maps.fd_of("protocols"), 256);
  if (status) status = map_into(maps.protected_ports_, maps.fd_of("protected_ports"), CHAOS_PROTECTED_WORDS);
  if (!status) return std::unexpected(status.error());
  return maps;
}

int SharedMaps::fd_of(std::string_view bpf_name) const {
  auto it = std::ranges::find(maps_, bpf_name, &Entry::bpf_name);
  return it == maps_.end() ? -1 : it->fd.get();
}

Result<chaos_counters> SharedMaps::read_counters(unsigned fault) const {
  std::vector<chaos_counters> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(fd_of("counters"), &fault, per_cpu.data()) != 0) return fail_errno("read counters");
  chaos_counters sum{};
  for (const chaos_counters& cpu : per_cpu) {
    sum.injected += cpu.injected;
    sum.shadowed += cpu.shadowed;
    sum.not_sampled += cpu.not_sampled;
    sum.spared_protected += cpu.spared_protected;
    sum.spared_budget += cpu.spared_budget;
    sum.spared_expired += cpu.spared_expired;
    sum.over_limit += cpu.over_limit;
    sum.matched_segments += cpu.matched_segments;
    sum.injected_segments += cpu.injected_segments;
    sum.injected_jointly += cpu.injected_jointly;
  }
  return sum;
}

Status SharedMaps::clear_counters(unsigned fault) const {
  const std::vector<chaos_counters> zero(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_update_elem(fd_of("counters"), &fault, zero.data(), BPF_ANY) != 0) return fail_errno("clear counters");
  return {};
}

Result<std::uint64_t> SharedMaps::read_seen(unsigned slot, unsigned direction) const {
  std::vector<std::uint64_t> per_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  const std::uint32_t key = slot << 1 | direction;
  if (bpf_map_lookup_elem(fd_of("seen"), &key, per_cpu.data()) != 0) return fail_errno("read packets seen");
  std::uint64_t sum = 0;
  for (std::uint64_t cpu : per_cpu) sum += cpu;
  return sum;
}

std::vector<std::uint32_t> SharedMaps::ids() const {
  std::vector<std::uint32_t> ids;
  for (const Entry& entry : maps_) {
    bpf_map_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(entry.fd.get(), &info, &length) == 0) ids.push_back(info.id);
  }
  return ids;
}

}  // namespace chaos
