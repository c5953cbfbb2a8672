#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/pkt_sched.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
#include "kernel/classic_tc.h"
#include "kernel/netlink.h"
#include "kernel/proc_tree.h"
#include "safety/bpf_uapi.h"
#include "safety/residue_parts.h"

namespace chaos::residue {
namespace {

namespace fs = std::filesystem;

using NamespaceKey = std::pair<dev_t, ino_t>;
// Some paths per namespace: a process may end before its namespace is entered.
using Namespaces = std::map<NamespaceKey, std::vector<fs::path>>;
constexpr std::size_t kPathsPerNamespace = 8;

struct Interface {
  int index = 0;
  std::string name;
};

void add_namespace(const fs::path& path, Namespaces& namespaces) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;
  auto& paths = namespaces[{status.st_dev, status.st_ino}];
  if (paths.size() < kPathsPerNamespace) paths.push_back(path);
}

Namespaces list_namespaces(const ResidueScope& scope, Items& items) {
  Namespaces namespaces;
  const auto pids = proc::list_processes(scope.proc);
  if (!pids) add_unchecked(items, "network namespaces of processes", pids.error());
  if (pids) {
    for (const pid_t pid : *pids) add_namespace(scope.proc / std::to_string(pid) / "ns" / "net", namespaces);
  }
  std::error_code error;
  for (fs::directory_iterator entry(scope.netns_dir, error), end; !error && entry != end; entry.increment(error)) {
    struct statfs stats {};
    // `ip netns delete` may leave the mount point, a plain file.
    if (::statfs(entry->path().c_str(), &stats) != 0 || stats.f_type != NSFS_MAGIC) continue;
    add_namespace(entry->path(), namespaces);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    add_unchecked(items, scope.netns_dir.string(), fail_errno("list", error.value()).error());
  }
  return namespaces;
}

Result<std::vector<Interface>> list_interfaces(Netlink& route) {
  return Netlink::repeat_dump<std::vector<Interface>>([&](std::vector<Interface>& list) {
    return route.dump(RTM_GETLINK, ifinfomsg{}, [&list](nlmsghdr* header) {
      std::array<nlattr*, IFLA_IFNAME + 1> attributes{};
      if (nlmsg_parse(header, sizeof(ifinfomsg), attributes.data(), IFLA_IFNAME, nullptr) < 0) return;
      const auto* link = static_cast<const ifinfomsg*>(nlmsg_data(header));
      const nlattr* name = attributes[IFLA_IFNAME];
      list.push_back({link->ifi_index, name != nullptr ? nla_get_string(name) : ""});
    });
  });
}

// Where filters can be on a device: both sides of clsact, the one of ingress, and classful qdiscs.
Result<std::multimap<int, std::uint32_t>> list_filter_parents(Netlink& route) {
  return Netlink::repeat_dump<std::multimap<int, std::uint32_t>>([&](std::multimap<int, std::uint32_t>& parents) {
    return route.dump(RTM_GETQDISC, tcmsg{}, [&parents](nlmsghdr* header) {
      const auto* qdisc = static_cast<const tcmsg*>(nlmsg_data(header));
      if (qdisc->tcm_parent == TC_H_CLSACT) {  // the same number as TC_H_INGRESS
        parents.emplace(qdisc->tcm_ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS));
        parents.emplace(qdisc->tcm_ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS));
      } else if (qdisc->tcm_handle != 0) {
        parents.emplace(qdisc->tcm_ifindex, qdisc->tcm_handle);
      }
    });
  });
}

/// What is looked at in one namespace; errors on one interface leave the others alone.
class NamespaceScan {
 public:
  NamespaceScan(const ResidueScope& scope, const TaggedBpf& tagged, std::string name, Items& items)
      : scope_(scope), tagged_(tagged), name_(std::move(name)), items_(items) {}

  void run() {
    auto route = Netlink::open();
    if (!route) return add_unchecked(items_, name_, route.error());
    const auto interfaces = list_interfaces(*route);
    if (!interfaces) return add_unchecked(items_, "interfaces in " + name_, interfaces.error());
    for (const Interface& interface : *interfaces) {
      check_name(interface);
      check_tcx(interface, bpf_uapi::kTcxIngress);
      check_tcx(interface, bpf_uapi::kTcxEgress);
    }
    const auto parents = list_filter_parents(*route);
    if (!parents) return add_unchecked(items_, "qdiscs in " + name_, parents.error());
    for (const Interface& interface : *interfaces) {
      const auto [first, last] = parents->equal_range(interface.index);
      for (auto parent = first; parent != last; ++parent) check_filters(*route, interface, parent->second);
    }
  }

 private:
  [[nodiscard]] std::string place(const Interface& interface) const {
    return fmt::format("{} (ifindex {}) in {}", interface.name, interface.index, name_);
  }

  void check_name(const Interface& interface) {
    if (!interface.name.starts_with(device_name_prefix(scope_.instance))) return;
    if (scope_.own_devices.contains(interface.name)) return;
    items_.push_back({std::string(kDevice), interface.name, fmt::format("ifindex {} in {}", interface.index, name_)});
  }

  void check_tcx(const Interface& interface, std::uint32_t attach_type) {
    const char* side = attach_type == bpf_uapi::kTcxIngress ? "ingress" : "egress";
    std::array<std::uint32_t, bpf_uapi::kMaxTcxPrograms> programs{};
    std::array<std::uint32_t, bpf_uapi::kMaxTcxPrograms> links{};
    bpf_uapi::ProgQuery query;
    query.target_ifindex = static_cast<std::uint32_t>(interface.index);
    query.attach_type = attach_type;
    query.prog_ids = reinterpret_cast<std::uintptr_t>(programs.data());
    query.link_ids = reinterpret_cast<std::uintptr_t>(links.data());
    query.count = bpf_uapi::kMaxTcxPrograms;
    if (bpf_uapi::prog_query(query) != 0) {
      // EINVAL: a kernel without tcx (< 6.6). ENODEV: gone meanwhile. ENOENT: nothing attached, on some kernels.
      if (errno != EINVAL && errno != ENODEV && errno != ENOENT) {
        add_unchecked(items_, fmt::format("tcx {} of {}", side, place(interface)), fail_errno("query").error());
      }
      return;
    }
    for (std::size_t i = 0; i < query.count && i < programs.size(); ++i) {
      const auto program = tagged_.programs.find(programs[i]);
      if (links[i] != 0 || program == tagged_.programs.end() || scope_.own_programs.contains(programs[i])) continue;
      items_.push_back({std::string(kAttachment), fmt::format("tcx {} of {}", side, place(interface)),
                        fmt::format("program {} ({})", programs[i], program->second)});
    }
  }

  void check_filters(Netlink& route, const Interface& interface, std::uint32_t parent) {
    const auto filters = list_tc_filters(route, static_cast<unsigned>(interface.index), parent);
    if (!filters) return add_unchecked(items_, "filters of " + place(interface), filters.error());
    const std::string prefix = bpf_name_prefix(scope_.instance);
    for (const TcFilter& filter : *filters) {
      if (filter.program == 0) continue;
      const bool ours = tagged_.programs.contains(filter.program) || filter.name.starts_with(prefix);
      if (!ours || scope_.own_programs.contains(filter.program)) continue;
      items_.push_back({std::string(kQdisc),
                        fmt::format("{}, parent {:x}:{:x}, prio {}, handle {:#x}", place(interface), parent >> 16,
                                    parent & 0xffffU, filter.priority, filter.handle),
                        fmt::format("bpf filter {} with program {}", filter.name, filter.program)});
    }
  }

  const ResidueScope& scope_;
  const TaggedBpf& tagged_;
  std::string name_;
  Items& items_;
};

/// Enters the namespace; true if it is that one. Gone by all paths is no error: then it is empty.
Result<bool> enter(const NamespaceKey& key, const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!fd.valid() || ::fstat(fd.get(), &status) != 0) continue;
    if (key != NamespaceKey{status.st_dev, status.st_ino}) continue;
    if (::setns(fd.get(), CLONE_NEWNET) != 0) return fail_errno("setns " + path.string());
    return true;
  }
  return false;
}

}  // namespace

void find_in_namespaces(const ResidueScope& scope, const TaggedBpf& tagged, Items& items) {
  const Namespaces namespaces = list_namespaces(scope, items);
  // setns changes the calling thread for good, so it is one that ends here.
  std::thread([&] {
    for (const auto& [key, paths] : namespaces) {
      const std::string name = fmt::format("netns {}", key.second);
      const auto entered = enter(key, paths);
      if (!entered) add_unchecked(items, name, entered.error());
      if (entered && *entered) NamespaceScan(scope, tagged, name, items).run();
    }
  }).join();
}

}  // namespace chaos::residue
