#include "plan/handed_over.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <map>
#include <set>

#include "kernel/netns.h"
#include "kernel/socket_diag.h"

namespace chaos {
namespace {

/// By inode: who has it, and where. One of them is enough.
using Held = std::map<std::uint64_t, HandedOverSocket>;

std::string name_of(const InetSocket& socket) {
  return fmt::format("{} port {}{}", socket.protocol == IPPROTO_TCP ? "tcp" : "udp", socket.local_port,
                     socket.listening ? " (listening)" : "");
}

/// What the members have open, by the network namespace that they are in.
std::map<std::uint64_t, Held> held_by(const std::vector<pid_t>& members) {
  std::map<std::uint64_t, Held> found;
  for (const pid_t pid : members) {
    const auto netns = proc::network_namespace("/proc", pid);
    const auto sockets = proc::open_sockets("/proc", pid);
    if (!netns || !sockets) continue;
    for (const proc::OpenSocket& open : *sockets) found[*netns].try_emplace(open.inode, HandedOverSocket{pid, open});
  }
  return found;
}

Result<std::vector<InetSocket>> sockets_of(pid_t member, std::uint64_t netns) {
  const auto there = Netns::open(std::to_string(member));
  // It has ended, or gone elsewhere.
  if (!there || there->inode() != netns) return std::vector<InetSocket>{};
  Result<std::vector<InetSocket>> sockets = std::vector<InetSocket>{};
  if (Status entered = there->run([&] { sockets = list_inet_sockets(); }); !entered) {
    return std::unexpected(entered.error());
  }
  return sockets;
}

}  // namespace

Result<HandedOverSockets> find_handed_over(const SocketOwners& owners) {
  HandedOverSockets result;
  if (owners.by != OwnedBy::kCgroup) return result;
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  std::set<std::string> names;
  for (const auto& [netns, held] : held_by(owners.members)) {
    const auto all = sockets_of(held.begin()->second.pid, netns);
    if (!all) return std::unexpected(all.error());
    // After the sockets: a cgroup that is made meanwhile is no stranger then.
    std::set<std::uint64_t> own;
    for (const Cgroup& cgroup : owners.cgroups) own.merge(tree->ids_within(cgroup));
    for (const InetSocket& socket : *all) {
      const auto who = held.find(socket.inode);
      if (who == held.end() || socket.cgroup == 0 || own.contains(socket.cgroup)) continue;
      result.sockets.push_back(who->second);
      names.insert(name_of(socket));
    }
  }
  result.names.assign(names.begin(), names.end());
  return result;
}

}  // namespace chaos
