#include "kernel/watch_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <atomic>

#include "kernel/bpf_compat.h"

namespace chaos {

Result<UniqueFd> create_watch_array(std::string_view tag, std::string_view name, std::size_t size,
                                    std::uint32_t entries) {
  const std::string full = "chaos_" + std::string(tag) + "_" + std::string(name);
  LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, full.c_str(), 4, static_cast<std::uint32_t>(size), entries, &opts));
  if (!map.valid()) return fail_errno("create BPF map " + full);
  return map;
}

std::uint32_t possible_cpus() {
  const int cpus = libbpf_num_possible_cpus();
  return cpus > 0 ? static_cast<std::uint32_t>(cpus) : 0;
}

Status use_map(bpf_object& object, const char* name, int fd) {
  bpf_map* map = bpf_object__find_map_by_name(&object, name);
  if (map == nullptr) return fail(Errc::kInternal, std::string("no BPF map ") + name);
  if (const int err = bpf_map__reuse_fd(map, fd); err != 0) {
    return fail_errno(std::string("share BPF map ") + name, -err);
  }
  return {};
}

Result<UniqueFd> attach_watch(const bpf_program& program) {
  const bool typed = bpf_program__type(&program) == BPF_PROG_TYPE_TRACING;
  std::string_view section = bpf_program__section_name(&program);
  const std::string tracepoint(section.substr(section.find('/') + 1));
  UniqueFd link(bpf_raw_tracepoint_open(typed ? nullptr : tracepoint.c_str(), bpf_program__fd(&program)));
  if (link.valid()) return link;
  Error error = fail_errno("watch " + tracepoint).error();
  error.code = Errc::kUnsupported;
  return std::unexpected(std::move(error));
}

std::uint64_t missed_runs(const bpf_program& program) {
  bpf_prog_info info{};
  __u32 size = sizeof info;
  const int fd = bpf_program__fd(&program);
  return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.recursion_misses : 0;
}

std::uint64_t missed_runs(const bpf_object& object) {
  std::uint64_t missed = 0;
  const bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(&object, const_cast<bpf_program*>(program))) != nullptr) {
    missed += missed_runs(*program);
  }
  return missed;
}

std::vector<std::uint32_t> loaded_program_ids(const bpf_object& object) {
  std::vector<std::uint32_t> ids;
  const bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(&object, const_cast<bpf_program*>(program))) != nullptr) {
    if (const int fd = bpf_program__fd(program); fd >= 0) ids.push_back(bpf_program_id(fd));
  }
  return ids;
}

Result<WatchScope> WatchScope::create(std::string_view tag) {
  WatchScope scope;
  auto map = create_watch_array(tag, "wsc", sizeof(chaos_scope), 1);
  if (!map) return std::unexpected(map.error());
  scope.map_ = std::move(*map);
  auto page = MappedArray<chaos_scope>::map(scope.map_.get(), 1);
  if (!page) return std::unexpected(page.error());
  scope.page_ = std::move(*page);
  return scope;
}

Status WatchScope::narrow_to(const std::vector<Cgroup>& cgroups) const {
  if (cgroups.size() > CHAOS_SCOPE_CGROUPS) {
    return fail(Errc::kRefused, "the target is in " + std::to_string(cgroups.size()) + " cgroups", "target",
                "at most " + std::to_string(CHAOS_SCOPE_CGROUPS), "aim at the cgroup above them");
  }
  chaos_scope& page = page_[0];
  const auto store = [](auto& field, auto value) { std::atomic_ref(field).store(value, std::memory_order_release); };
  // Programs see nobody's while the list changes, and never a level with another's id.
  store(page.count, 0U);
  store(page.narrowed, static_cast<__u32>(CHAOS_SCOPE_CGROUPS_ONLY));
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    store(page.cgroups[i].level, static_cast<__u32>(cgroups[i].level));
    store(page.cgroups[i].id, static_cast<__u64>(cgroups[i].id));
  }
  store(page.count, static_cast<__u32>(cgroups.size()));
  return {};
}

}  // namespace chaos
