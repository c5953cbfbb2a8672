#include "kernel/shared_maps.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <tuple>

#include "bpf/telemetry_abi.h"

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

constexpr std::uint32_t kPerCpu = 0;  ///< entries: one for each possible CPU

constexpr std::array kMaps{
    MapSpec{"rules", "rul", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_rules), 1, BPF_F_MMAPABLE},
    MapSpec{"budgets", "bud", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_budget), CHAOS_MAX_FAULTS, BPF_F_MMAPABLE},
    MapSpec{"remote_ports", "rpt", BPF_MAP_TYPE_ARRAY, 4, 8, 65536, BPF_F_MMAPABLE},
    MapSpec{"local_ports", "lpt", BPF_MAP_TYPE_ARRAY, 4, 8, 65536, BPF_F_MMAPABLE},
    MapSpec{"protected_ports", "ppt", BPF_MAP_TYPE_ARRAY, 4, 8, CHAOS_PROTECTED_WORDS, BPF_F_MMAPABLE},
    MapSpec{"tallies", "tal", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_tally), kPerCpu, BPF_F_MMAPABLE},
    MapSpec{"peers", "per", BPF_MAP_TYPE_LPM_TRIE, sizeof(chaos_prefix_key), 8, CHAOS_MAX_PREFIXES, BPF_F_NO_PREALLOC},
    MapSpec{"cgroups", "cgr", BPF_MAP_TYPE_HASH, 8, 8, CHAOS_MAX_CGROUPS, BPF_F_NO_PREALLOC},
    MapSpec{"processes", "pro", BPF_MAP_TYPE_HASH, 4, 8, CHAOS_MAX_PROCESSES, BPF_F_NO_PREALLOC},
    MapSpec{"uids", "uid", BPF_MAP_TYPE_HASH, sizeof(chaos_user), 8, CHAOS_MAX_UIDS, BPF_F_NO_PREALLOC},
    MapSpec{"protected_peers", "ppr", BPF_MAP_TYPE_LPM_TRIE, sizeof(chaos_prefix_key), 1, 1024, BPF_F_NO_PREALLOC},
    MapSpec{"protected_flows", "pfl", BPF_MAP_TYPE_HASH, sizeof(chaos_tuple), 1, CHAOS_MAX_PROTECTED_FLOWS,
            BPF_F_NO_PREALLOC},
    MapSpec{"flow_lines", "flo", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_flow_line), CHAOS_FLOW_LINES, BPF_F_MMAPABLE},
    MapSpec{"lines", "lin", BPF_MAP_TYPE_ARRAY, 4, sizeof(chaos_line), CHAOS_MAX_LINES, BPF_F_MMAPABLE},
    MapSpec{"line_marks", "lmk", BPF_MAP_TYPE_ARRAY, 4, 8, CHAOS_LINE_MARKS, BPF_F_MMAPABLE},
    MapSpec{"handovers", "han", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(chaos_line_header), 1, 0},
    MapSpec{"failing_calls", "fai", BPF_MAP_TYPE_LRU_HASH, 8, 8, CHAOS_FAILING_CALLS, 0},
    MapSpec{"spilled_flows", "spi", BPF_MAP_TYPE_LRU_HASH, 8, 4, CHAOS_MAX_SPILLED_FLOWS, 0},
};

struct BtfDeleter {
  void operator()(btf* types) const { btf__free(types); }
};

/// Storage of sockets: the kernel wants to know the types of key and value.
Result<UniqueFd> create_makers(const std::string& name) {
  const std::unique_ptr<btf, BtfDeleter> types(btf__new_empty());
  const int key = types ? btf__add_int(types.get(), "int", 4, BTF_INT_SIGNED) : -1;
  const int word = types ? btf__add_int(types.get(), "unsigned int", 4, 0) : -1;
  const int value = types ? btf__add_struct(types.get(), "chaos_maker", sizeof(chaos_maker)) : -1;
  const bool built = key > 0 && word > 0 && value > 0 && btf__add_field(types.get(), "process", word, 0, 0) == 0 &&
                     btf__add_field(types.get(), "pad", word, 32, 0) == 0 && btf__load_into_kernel(types.get()) == 0;
  if (!built) return fail_errno("describe BPF map " + name);
  LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = static_cast<__u32>(btf__fd(types.get())),
              .btf_key_type_id = static_cast<__u32>(key), .btf_value_type_id = static_cast<__u32>(value),
              .map_flags = BPF_F_NO_PREALLOC | BPF_F_CLONE);
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_SK_STORAGE, name.c_str(), 4, sizeof(chaos_maker), 0, &opts));
  if (!map.valid()) return fail_errno("create BPF map " + name);
  return map;
}

template <class T>
Status map_into(MappedArray<T>& target, int fd, std::size_t entries) {
  auto array = MappedArray<T>::map(fd, entries);
  if (!array) return std::unexpected(array.error());
  target = std::move(*array);
  return {};
}

void add_counters(chaos_counters& sum, chaos_counters& own) {
  const auto add = [](__u64& total, __u64& part) { total += std::atomic_ref(part).load(std::memory_order_relaxed); };
  add(sum.injected, own.injected);
  add(sum.shadowed, own.shadowed);
  add(sum.not_sampled, own.not_sampled);
  add(sum.spared_protected, own.spared_protected);
  add(sum.spared_budget, own.spared_budget);
  add(sum.spared_expired, own.spared_expired);
  add(sum.over_limit, own.over_limit);
  add(sum.matched_segments, own.matched_segments);
  add(sum.injected_segments, own.injected_segments);
  add(sum.injected_jointly, own.injected_jointly);
}

/// Any number that no clock shows: of the upper half, which is before 1970.
__u64 new_drop_mark() {
  std::random_device device;
  return __u64{1} << 63 | __u64{device()} << 32 | device();
}

}  // namespace

Result<SharedMaps> SharedMaps::create(std::string_view tag) {
  SharedMaps maps;
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count CPUs", -cpus);
  for (const MapSpec& spec : kMaps) {
    const std::string name = "chaos_" + std::string(tag) + "_" + std::string(spec.short_name);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = spec.flags);
    const std::uint32_t entries = spec.entries == kPerCpu ? static_cast<std::uint32_t>(cpus) : spec.entries;
    UniqueFd fd(bpf_map_create(spec.type, name.c_str(), spec.key_size, spec.value_size, entries, &opts));
    if (!fd.valid()) return fail_errno("create BPF map " + name);
    maps.maps_.push_back({spec.bpf_name, std::move(fd)});
  }
  auto makers = create_makers("chaos_" + std::string(tag) + "_mak");
  if (!makers) return std::unexpected(makers.error());
  maps.maps_.push_back({"makers", std::move(*makers)});
  Status status = map_into(maps.rules_, maps.fd_of("rules"), 1);
  if (status) status = map_into(maps.tallies_, maps.fd_of("tallies"), static_cast<std::size_t>(cpus));
  if (status) status = map_into(maps.budgets_, maps.fd_of("budgets"), CHAOS_MAX_FAULTS);
  if (status) status = map_into(maps.remote_ports_, maps.fd_of("remote_ports"), 65536);
  if (status) status = map_into(maps.local_ports_, maps.fd_of("local_ports"), 65536);
  if (status) status = map_into(maps.protected_ports_, maps.fd_of("protected_ports"), CHAOS_PROTECTED_WORDS);
  if (status) status = map_into(maps.lines_, maps.fd_of("lines"), CHAOS_MAX_LINES);
  if (status) status = map_into(maps.line_marks_, maps.fd_of("line_marks"), CHAOS_LINE_MARKS);
  if (status) status = map_into(maps.flow_lines_, maps.fd_of("flow_lines"), CHAOS_FLOW_LINES);
  if (!status) return std::unexpected(status.error());
  maps.control().drop_mark = new_drop_mark();
  return maps;
}

int SharedMaps::fd_of(std::string_view bpf_name) const {
  auto it = std::ranges::find(maps_, bpf_name, &Entry::bpf_name);
  return it == maps_.end() ? -1 : it->fd.get();
}

void SharedMaps::write_protected_ports(const PortSet& tcp, const PortSet& udp) const {
  constexpr unsigned kWords = CHAOS_PROTECTED_WORDS / 2;
  constexpr unsigned kSummaryWords = CHAOS_PROTECTED_SUMMARY_BITS / 64;
  for (const auto& [ports, base, transport] :
       {std::tuple{&tcp, CHAOS_PROTECTED_TCP, CHAOS_TCP}, std::tuple{&udp, CHAOS_PROTECTED_UDP, CHAOS_UDP}}) {
    std::array<std::uint64_t, kSummaryWords> summary{};
    std::array<std::uint64_t, kWords> words{};
    for (unsigned port = 0; port < ports->size(); ++port) {
      if (!ports->test(port)) continue;
      words[port / 64] |= 1ULL << (port % 64);
      const unsigned bit = port % CHAOS_PROTECTED_SUMMARY_BITS;
      summary[bit / 64] |= 1ULL << (bit % 64);
    }
    // Packets look at the summary first: it has every port's bit at all times.
    auto& shared = rules_[0].protected_summary[transport];
    for (unsigned i = 0; i < kSummaryWords; ++i) std::atomic_ref(shared[i]).fetch_or(summary[i]);
    for (unsigned i = 0; i < kWords; ++i) {
      std::atomic_ref(protected_ports_[static_cast<unsigned>(base) + i]).store(words[i]);
    }
    for (unsigned i = 0; i < kSummaryWords; ++i) std::atomic_ref(shared[i]).store(summary[i]);
  }
}

void SharedMaps::forget_flows(std::uint64_t generation) const {
  const auto ended = static_cast<std::uint32_t>(generation);
  for (std::size_t i = 0; i < flow_lines_.size(); ++i) {
    for (chaos_flow& way : flow_lines_[i].ways) {
      std::atomic_ref key(way.key);
      if (key.load() == 0 || std::atomic_ref(way.generation).load() != ended) continue;
      // The key last: whoever claims the entry finds it clean.
      std::atomic_ref(way.count).store(0);
      std::atomic_ref(way.generation).store(0);
      key.store(0);
    }
  }
}

chaos_counters SharedMaps::read_counters(unsigned fault) const {
  chaos_counters sum{};
  for (std::size_t cpu = 0; cpu < tallies_.size(); ++cpu) {
    add_counters(sum, tallies_[cpu].faults[fault]);
    add_counters(sum, tallies_[cpu].calls[fault]);
  }
  return sum;
}

std::uint64_t SharedMaps::read_seen(unsigned slot, unsigned direction) const {
  std::uint64_t sum = 0;
  for (std::size_t cpu = 0; cpu < tallies_.size(); ++cpu) {
    auto& seen = tallies_[cpu].seen_backwards[CHAOS_SEEN_AT(slot << 1 | direction)];
    sum += std::atomic_ref(seen).load(std::memory_order_relaxed);
  }
  return sum;
}

Status SharedMaps::share_with(bpf_object& object, const std::map<std::string_view, int>& more) const {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, &object) {
    const std::string_view name = bpf_map__name(map);
    const auto given = more.find(name);
    const int fd = given != more.end() ? given->second : fd_of(name);
    if (fd < 0) continue;
    if (const int err = bpf_map__reuse_fd(map, fd); err != 0) {
      return fail_errno("share BPF map " + std::string(name), -err);
    }
  }
  return {};
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
