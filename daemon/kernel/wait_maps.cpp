#include "kernel/wait_maps.h"

#include <linux/bpf.h>

#include <array>

namespace chaos {
namespace {

constexpr std::array kMaps{
    MapSpec{"syscall_waiting", "wng", BPF_MAP_TYPE_ARRAY, sizeof(chaos_waiting), 1, BPF_F_MMAPABLE},
    MapSpec{"syscall_waits", "wts", BPF_MAP_TYPE_ARRAY, sizeof(chaos_wait), CHAOS_WAITS, BPF_F_MMAPABLE},
    MapSpec{"syscall_times", "wti", BPF_MAP_TYPE_ARRAY, sizeof(chaos_wait_times), 1, BPF_F_MMAPABLE},
    MapSpec{"syscall_tickets", "wtk", BPF_MAP_TYPE_HASH, 4, CHAOS_WAITS * 2, BPF_F_NO_PREALLOC},
};

}  // namespace

Result<WaitMaps> WaitMaps::create(std::string_view tag, std::uint32_t limit) {
  WaitMaps maps;
  auto set = MapSet::create(tag, kMaps);
  if (!set) return std::unexpected(set.error());
  maps.maps_ = std::move(*set);
  Status status = maps.maps_.map_into(maps.waiting_, "syscall_waiting", 1);
  if (status) status = maps.maps_.map_into(maps.times_, "syscall_times", 1);
  if (!status) return std::unexpected(status.error());
  chaos_waiting& all = maps.waiting();
  all.limit = limit;
  for (std::uint32_t place = limit; place < CHAOS_WAITS; ++place) all.taken[place / 64] |= 1ULL << (place % 64);
  return maps;
}

}  // namespace chaos
