#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "base/unique_fd.h"
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
constexpr int kDumpTries = 5;

struct Interface {
  int index = 0;
  std::string name;
};

struct Filter {
  std::uint32_t parent = 0;
  std::uint32_t handle = 0;
  std::uint32_t priority = 0;
  std::uint32_t program = 0;  ///< 0: no bpf filter
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

/// A route netlink socket in the calling thread's namespace.
class Rtnetlink {
 public:
  static Result<Rtnetlink> open() {
    Rtnetlink route;
    route.socket_.reset(nl_socket_alloc());
    if (!route.socket_) return fail(Errc::kInternal, "netlink socket: out of memory");
    if (const int code = nl_connect(route.socket_.get(), NETLINK_ROUTE); code < 0) {
      return fail(Errc::kInternal, fmt::format("netlink socket: {}", nl_geterror(code)));
    }
    return route;
  }

  /// Sends a dump request and calls `use(nlmsghdr*)` for each answer.
  template <class Header, class Use>
  Status dump(int type, Header header, Use use) {
    const auto on_message = [](nl_msg* message, void* argument) noexcept -> int {
      (*static_cast<Use*>(argument))(nlmsg_hdr(message));
      return NL_OK;
    };
    nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &use);
    int code = nl_send_simple(socket_.get(), type, NLM_F_DUMP, &header, sizeof header);
    if (code >= 0) code = nl_recvmsgs_default(socket_.get());
    if (code < 0) return fail(Errc::kInternal, fmt::format("netlink dump {}: {}", type, nl_geterror(code)));
    return {};
  }

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  std::unique_ptr<nl_sock, Free> socket_;
};

// A dump that other changes interrupted is wrong (NLM_F_DUMP_INTR), so start again.
template <class List, class Fill>
Result<List> repeat_dump(const Fill& fill) {
  for (int attempt = 1;; ++attempt) {
    List list;
    auto done = fill(list);
    if (done) return list;
    if (attempt == kDumpTries) return std::unexpected(std::move(done.error()));
  }
}

Result<std::vector<Interface>> list_interfaces(Rtnetlink& route) {
  return repeat_dump<std::vector<Interface>>([&](std::vector<Interface>& list) {
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
Result<std::multimap<int, std::uint32_t>> list_filter_parents(Rtnetlink& route) {
  return repeat_dump<std::multimap<int, std::uint32_t>>([&](std::multimap<int, std::uint32_t>& parents) {
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

Filter parse_filter(nlmsghdr* header) {
  Filter filter;
  std::array<nlattr*, TCA_MAX + 1> attributes{};
  if (nlmsg_parse(header, sizeof(tcmsg), attributes.data(), TCA_MAX, nullptr) < 0) return filter;
  if (attributes[TCA_KIND] == nullptr || std::string_view(nla_get_string(attributes[TCA_KIND])) != "bpf") return filter;
  std::array<nlattr*, TCA_BPF_MAX + 1> options{};
  if (attributes[TCA_OPTIONS] == nullptr ||
      nla_parse_nested(options.data(), TCA_BPF_MAX, attributes[TCA_OPTIONS], nullptr) < 0 ||
      options[TCA_BPF_ID] == nullptr) {
    return filter;
  }
  const auto* message = static_cast<const tcmsg*>(nlmsg_data(header));
  filter.parent = message->tcm_parent;
  filter.handle = message->tcm_handle;
  filter.priority = message->tcm_info >> 16;
  filter.program = nla_get_u32(options[TCA_BPF_ID]);
  if (options[TCA_BPF_NAME] != nullptr) filter.name = nla_get_string(options[TCA_BPF_NAME]);
  return filter;
}

/// What is looked at in one namespace; errors on one interface leave the others alone.
class NamespaceScan {
 public:
  NamespaceScan(const ResidueScope& scope, const TaggedBpf& tagged, std::string name, Items& items)
      : scope_(scope), tagged_(tagged), name_(std::move(name)), items_(items) {}

  void run() {
    auto route = Rtnetlink::open();
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

  void check_filters(Rtnetlink& route, const Interface& interface, std::uint32_t parent) {
    tcmsg request{};
    request.tcm_family = AF_UNSPEC;
    request.tcm_ifindex = interface.index;
    request.tcm_parent = parent;
    const auto filters = repeat_dump<std::vector<Filter>>([&](std::vector<Filter>& list) {
      return route.dump(RTM_GETTFILTER, request, [&list](nlmsghdr* header) {
        Filter filter = parse_filter(header);
        if (filter.program != 0) list.push_back(std::move(filter));
      });
    });
    if (!filters) return add_unchecked(items_, "filters of " + place(interface), filters.error());
    const std::string prefix = bpf_name_prefix(scope_.instance);
    for (const Filter& filter : *filters) {
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
