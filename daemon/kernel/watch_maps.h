// What sets of watching programs have in common: the map that says whose events they count, and their links. Internal
// to kernel/. Worker thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/telemetry_abi.h"
#include "kernel/cgroup.h"
#include "kernel/mapped_array.h"

struct bpf_object;
struct bpf_program;

namespace chaos {

/// An array that is memory: `entries` values of `size` bytes, named chaos_TAG_`name`.
[[nodiscard]] Result<UniqueFd> create_watch_array(std::string_view tag, std::string_view name, std::size_t size,
                                                  std::uint32_t entries);
/// How many CPUs this host may have; 0 if that is not known.
[[nodiscard]] std::uint32_t possible_cpus();
/// Makes an opened object use this map for its own of the name. Error: kInternal.
Status use_map(bpf_object& object, const char* name, int fd);
/// At its tracepoint. Error: kUnsupported with the errno.
[[nodiscard]] Result<UniqueFd> attach_watch(const bpf_program& program);
/// Runs that the kernel left out because the program was at work on that CPU.
[[nodiscard]] std::uint64_t missed_runs(const bpf_program& program);
/// Of all its programs.
[[nodiscard]] std::uint64_t missed_runs(const bpf_object& object);
[[nodiscard]] std::vector<std::uint32_t> loaded_program_ids(const bpf_object& object);

/// Whose events are counted.
class WatchScope {
 public:
  /// Everybody's.
  static Result<WatchScope> create(std::string_view tag);
  /// Those of these cgroups and below, from now on. Error: kRefused if they are more than CHAOS_SCOPE_CGROUPS.
  Status narrow_to(const std::vector<Cgroup>& cgroups) const;
  [[nodiscard]] int fd() const { return map_.get(); }

 private:
  UniqueFd map_;
  MappedArray<chaos_scope> page_;
};

}  // namespace chaos
