#include "kernel/map_set.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <string>

#include "kernel/bpf_compat.h"

namespace chaos {

Result<MapSet> MapSet::create(std::string_view tag, std::span<const MapSpec> specs) {
  MapSet set;
  for (const MapSpec& spec : specs) {
    const std::string name = "chaos_" + std::string(tag) + "_" + std::string(spec.short_name);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = spec.flags);
    UniqueFd fd(
        bpf_map_create(static_cast<bpf_map_type>(spec.type), name.c_str(), 4, spec.value_size, spec.entries, &opts));
    if (!fd.valid()) return fail_errno("create BPF map " + name);
    set.maps_.emplace(spec.bpf_name, std::move(fd));
  }
  return set;
}

std::map<std::string_view, int> MapSet::fds() const {
  std::map<std::string_view, int> all;
  for (const auto& [name, fd] : maps_) all.emplace(name, fd.get());
  return all;
}

std::vector<std::uint32_t> MapSet::ids() const {
  std::vector<std::uint32_t> all;
  for (const auto& [name, fd] : maps_) all.push_back(bpf_map_id(fd.get()));
  return all;
}

}  // namespace chaos
