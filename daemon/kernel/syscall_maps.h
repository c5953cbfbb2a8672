// SyscallMaps: the maps of one fault on system calls (bpf/syscall.bpf.h). Owns the descriptors; nothing is pinned.
// Needs CAP_BPF. Worker thread; what is mapped: any thread, by std::atomic_ref where programs write.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bpf/syscall_abi.h"
#include "kernel/map_set.h"
#include "kernel/mapped_array.h"

namespace chaos {

class SyscallMaps {
 public:
  /// `tag`: instance_tag(). Error: kInternal with the map's name.
  static Result<SyscallMaps> create(std::string_view tag);
  SyscallMaps(SyscallMaps&&) noexcept = default;
  SyscallMaps& operator=(SyscallMaps&&) noexcept = default;

  [[nodiscard]] chaos_syscall_rule& rule() const { return rule_[0]; }
  [[nodiscard]] int members_fd() const { return maps_.fd("syscall_members"); }
  /// Sums over all CPUs since the maps were made.
  [[nodiscard]] chaos_counters read_counters() const;
  [[nodiscard]] std::uint64_t read_evaluated() const;
  /// Injected into this call with the errno at this place of the list.
  [[nodiscard]] std::uint64_t read_injected(unsigned number, unsigned place) const;

  /// By their names in BPF C.
  [[nodiscard]] std::map<std::string_view, int> fds() const { return maps_.fds(); }
  /// Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> ids() const { return maps_.ids(); }

 private:
  SyscallMaps() = default;
  MapSet maps_;
  MappedArray<chaos_syscall_rule> rule_;
  MappedArray<chaos_syscall_tally> tallies_;
  MappedArray<chaos_syscall_outcomes> outcomes_;
};

}  // namespace chaos
