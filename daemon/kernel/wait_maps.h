// WaitMaps: what a fault that makes calls wait has beside SyscallMaps (bpf/wait_abi.h). Owns the descriptors; nothing
// is pinned. Needs CAP_BPF. Worker thread; what is mapped: any thread, by std::atomic_ref.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bpf/wait_abi.h"
#include "kernel/map_set.h"

namespace chaos {

class WaitMaps {
 public:
  /// At most `limit` (up to CHAOS_WAITS) wait at a time. `tag`: instance_tag(). Error: kInternal with the map's name.
  static Result<WaitMaps> create(std::string_view tag, std::uint32_t limit);

  [[nodiscard]] chaos_waiting& waiting() const { return waiting_[0]; }
  [[nodiscard]] chaos_wait_times& times() const { return times_[0]; }
  /// For the wait server; see wait/wait_server.h.
  [[nodiscard]] int waiting_fd() const { return maps_.fd("syscall_waiting"); }
  [[nodiscard]] int waits_fd() const { return maps_.fd("syscall_waits"); }

  /// By their names in BPF C.
  [[nodiscard]] std::map<std::string_view, int> fds() const { return maps_.fds(); }
  /// Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> ids() const { return maps_.ids(); }

 private:
  WaitMaps() = default;
  MapSet maps_;
  MappedArray<chaos_waiting> waiting_;
  MappedArray<chaos_wait_times> times_;
};

}  // namespace chaos
