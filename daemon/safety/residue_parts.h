// The parts of find_residue, one per place where residue can be. Each appends what it finds; what it cannot look at it
// appends as `unchecked`, and goes on. Internal to safety/; thread and privileges as residue.h says.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "safety/residue.h"

namespace chaos::residue {

using Items = std::vector<ResidueItem>;

/// BPF objects of the instance, living or not: id → name.
struct TaggedBpf {
  std::map<std::uint32_t, std::string> maps;
  std::map<std::uint32_t, std::string> programs;  ///< named chaos_TAG_*, or using a map so named
};

inline void add_unchecked(Items& items, std::string what, const Error& error) {
  items.push_back({std::string(kUnchecked), std::move(what), error.message});
}

/// link, program, map. Fills `tagged`.
void find_bpf_objects(const ResidueScope& scope, TaggedBpf& tagged, Items& items);
/// pin. Looks at every pin: one of ours is ours whatever its path.
void find_pins(const ResidueScope& scope, const TaggedBpf& tagged, Items& items);
/// attachment, qdisc, device; in every network namespace, from a thread of its own.
void find_in_namespaces(const ResidueScope& scope, const TaggedBpf& tagged, Items& items);
/// cgroup
void find_cgroups(const ResidueScope& scope, Items& items);
/// process
void find_processes(const ResidueScope& scope, Items& items);
/// file, journal
void find_files(const ResidueScope& scope, Items& items);

/// True for argv of a chaosd process (daemon, guardian, worker) of `instance`.
[[nodiscard]] bool is_chaosd_of_instance(const std::vector<std::string>& arguments, std::string_view instance);
/// True for "chaosd-INSTANCE" within `name`, not followed by what would make it another instance's name.
[[nodiscard]] bool names_instance(std::string_view name, std::string_view instance);

}  // namespace chaos::residue
