#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>

#include "base/unique_fd.h"
#include "kernel/proc_tree.h"
#include "safety/bpf_uapi.h"
#include "safety/residue_parts.h"

namespace chaos::residue {
namespace {

constexpr std::size_t kMaxUsedMaps = 64;  // MAX_USED_MAPS of include/linux/filter.h
constexpr int kSettleTries = 100;

// The kernel takes away what its last holder has let go of in steps, each after a grace period of RCU: the link, then
// its program, then the maps that the program used. On an idle host that takes some 50 ms, on a busy one a few times
// that.
constexpr std::chrono::milliseconds kGoingAway{1000};
constexpr std::chrono::milliseconds kLookAgain{5};

// A link that somebody is just making has an id but gives EAGAIN until it is attached (bpf_link_by_id in
// kernel/bpf/syscall.c); on a tcx hook that takes 14 to 22 ms.
UniqueFd open_object(int (*fd_by_id)(__u32), std::uint32_t id) {
  for (int attempt = 1;; ++attempt) {
    UniqueFd fd(fd_by_id(id));
    if (fd.valid() || errno != EAGAIN || attempt == kSettleTries) return fd;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Calls `visit(id, fd)` for every object of one type; those that vanish on the way are left out.
template <class Visit>
void for_each_object(std::string_view what, int (*next_id)(__u32, __u32*), int (*fd_by_id)(__u32), Items& items,
                     const Visit& visit) {
  __u32 id = 0;
  while (true) {
    if (next_id(id, &id) != 0) {
      if (errno != ENOENT) add_unchecked(items, fmt::format("{}s", what), fail_errno("list of ids").error());
      return;
    }
    const UniqueFd fd = open_object(fd_by_id, id);
    Status done{};
    if (!fd.valid()) {
      done = fail_errno("open");
    } else {
      done = visit(id, fd.get());
    }
    if (!done && done.error().sys_errno != ENOENT) add_unchecked(items, fmt::format("{} {}", what, id), done.error());
  }
}

template <class Info>
Status read_info(int fd, Info& info) {
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("info");
  return {};
}

bool is_gone(const ResidueItem& item) {
  std::uint32_t id = 0;
  std::from_chars(item.id.data(), item.id.data() + item.id.size(), id);
  UniqueFd fd;
  if (item.cls == kLink) {
    fd = open_object(bpf_link_get_fd_by_id, id);
  } else if (item.cls == kProgram) {
    fd = open_object(bpf_prog_get_fd_by_id, id);
  } else if (item.cls == kMap) {
    fd = open_object(bpf_map_get_fd_by_id, id);
  } else {
    return false;
  }
  return !fd.valid() && errno == ENOENT;
}

// What nobody holds any more goes away by itself, and is no residue; what stays has a holder.
void leave_out_what_goes_away(Items& items) {
  const auto is_object = [](const ResidueItem& item) {
    return item.cls == kLink || item.cls == kProgram || item.cls == kMap;
  };
  const auto give_up = std::chrono::steady_clock::now() + kGoingAway;
  while (std::ranges::any_of(items, is_object) && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(kLookAgain);
    std::erase_if(items, is_gone);
  }
}

std::string describe_link(const bpf_uapi::LinkInfo& info, std::string_view program) {
  const std::string on = fmt::format("of program {} ({})", info.prog_id, program);
  if (info.type == bpf_uapi::kLinkTypeTcx) {
    const char* side = info.tcx_attach_type == bpf_uapi::kTcxIngress ? "ingress" : "egress";
    if (info.tcx_ifindex == 0) return fmt::format("tcx {} of a device that is gone, {}", side, on);
    return fmt::format("tcx {} of ifindex {}, {}", side, info.tcx_ifindex, on);
  }
  const char* type = libbpf_bpf_link_type_str(static_cast<bpf_link_type>(info.type));
  return type != nullptr ? fmt::format("{} {}", type, on) : fmt::format("type {} {}", info.type, on);
}

void find_maps(const ResidueScope& scope, TaggedBpf& tagged, Items& items) {
  const std::string prefix = bpf_name_prefix(scope.instance);
  for_each_object("map", bpf_map_get_next_id, bpf_map_get_fd_by_id, items, [&](std::uint32_t id, int fd) -> Status {
    bpf_map_info info{};
    if (auto done = read_info(fd, info); !done) return done;
    const std::string name(info.name);
    if (!name.starts_with(prefix)) return {};
    tagged.maps.emplace(id, name);
    if (!scope.own_maps.contains(id)) items.push_back({std::string(kMap), std::to_string(id), name});
    return {};
  });
}

void find_programs(const ResidueScope& scope, TaggedBpf& tagged, Items& items) {
  const std::string prefix = bpf_name_prefix(scope.instance);
  for_each_object("program", bpf_prog_get_next_id, bpf_prog_get_fd_by_id, items,
                  [&](std::uint32_t id, int fd) -> Status {
                    std::array<__u32, kMaxUsedMaps> maps{};
                    bpf_prog_info info{};
                    info.map_ids = reinterpret_cast<std::uintptr_t>(maps.data());
                    info.nr_map_ids = static_cast<__u32>(maps.size());
                    if (auto done = read_info(fd, info); !done) return done;
                    const std::string name(info.name);
                    bool ours = name.starts_with(prefix);
                    const std::size_t used = std::min<std::size_t>(info.nr_map_ids, maps.size());
                    for (std::size_t i = 0; i < used && !ours; ++i) ours = tagged.maps.contains(maps[i]);
                    if (!ours) return {};
                    tagged.programs.emplace(id, name);
                    if (!scope.own_programs.contains(id)) {
                      items.push_back({std::string(kProgram), std::to_string(id), name});
                    }
                    return {};
                  });
}

void find_links(const ResidueScope& scope, const TaggedBpf& tagged, Items& items) {
  for_each_object("link", bpf_link_get_next_id, bpf_link_get_fd_by_id, items, [&](std::uint32_t id, int fd) -> Status {
    bpf_uapi::LinkInfo info{};
    if (auto done = read_info(fd, info); !done) return done;
    const auto program = tagged.programs.find(info.prog_id);
    if (program == tagged.programs.end() || scope.own_links.contains(id)) return {};
    items.push_back({std::string(kLink), std::to_string(id), describe_link(info, program->second)});
    return {};
  });
}

// The number after `key` in the text of a /proc/self/fdinfo file.
std::optional<std::uint32_t> fdinfo_number(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos || (at != 0 && text[at - 1] != '\n')) return std::nullopt;
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// What a pin holds, if that is ours. One fdinfo serves programs, maps and links alike.
Result<std::optional<std::string>> tagged_pin(const std::filesystem::path& file, const TaggedBpf& tagged) {
  const UniqueFd fd(bpf_obj_get(file.c_str()));
  if (!fd.valid()) return fail_errno("open");
  const auto text = proc::read_file("/proc/self/fdinfo/" + std::to_string(fd.get()));
  if (!text) return std::unexpected(text.error());
  const auto link = fdinfo_number(*text, "link_id:");
  const auto program = fdinfo_number(*text, "prog_id:");
  const auto map = fdinfo_number(*text, "map_id:");
  if (program && tagged.programs.contains(*program)) {
    return link ? fmt::format("link {}", *link) : fmt::format("program {}", *program);
  }
  if (map && tagged.maps.contains(*map)) return fmt::format("map {}", *map);
  return std::nullopt;
}

bool is_pin_name(const std::string& name, std::string_view instance) {
  return is_instance_path_name(name, instance) || (instance == kDefaultInstance && name == "chaosd");
}

void walk_pins(const ResidueScope& scope, const TaggedBpf& tagged, const std::filesystem::path& directory, bool ours,
               Items& items) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    const bool named = ours || is_pin_name(path.filename().string(), scope.instance);
    std::error_code ignored;
    if (entry->is_symlink(ignored)) continue;
    if (entry->is_directory(ignored)) {
      if (named) items.push_back({std::string(kPin), path.string(), "directory"});
      walk_pins(scope, tagged, path, named, items);
      continue;
    }
    const auto held = tagged_pin(path, tagged);
    if (held && (named || *held)) {
      items.push_back({std::string(kPin), path.string(), held->value_or("not tagged")});
    } else if (!held && named) {
      items.push_back({std::string(kPin), path.string(), held.error().message});
    } else if (!held && held.error().sys_errno != ENOENT) {
      add_unchecked(items, path.string(), held.error());
    }
  }
  if (error && error.value() != ENOENT)
    add_unchecked(items, directory.string(), fail_errno("list", error.value()).error());
}

}  // namespace

void find_bpf_objects(const ResidueScope& scope, TaggedBpf& tagged, Items& items) {
  find_maps(scope, tagged, items);
  find_programs(scope, tagged, items);
  find_links(scope, tagged, items);
  leave_out_what_goes_away(items);
}

void find_pins(const ResidueScope& scope, const TaggedBpf& tagged, Items& items) {
  struct statfs stats {};
  if (::statfs(scope.bpffs.c_str(), &stats) != 0) {
    if (errno != ENOENT) add_unchecked(items, scope.bpffs.string(), fail_errno("statfs").error());
    return;
  }
  if (stats.f_type != BPF_FS_MAGIC) return;
  walk_pins(scope, tagged, scope.bpffs, false, items);
}

}  // namespace chaos::residue
