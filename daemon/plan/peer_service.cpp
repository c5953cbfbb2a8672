#include "plan/peer_service.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace chaos {
namespace {

constexpr std::string_view kLabel = "service:";
constexpr const char* kField = "target.peer";

/// Of the calling thread's network namespace, without loopback's and those that are valid on one link only.
Result<std::vector<Prefix>> own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return fail_errno("list addresses");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, ::freeifaddrs);
  std::vector<Prefix> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;
      ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    } else {
      continue;
    }
    if (auto prefix = Prefix::parse(text)) found.push_back(*prefix);
  }
  return found;
}

Result<std::vector<Prefix>> addresses_in(const Netns& netns) {
  Result<std::vector<Prefix>> found = fail(Errc::kInternal, "not listed");
  if (Status entered = netns.run([&] { found = own_addresses(); }); !entered) return std::unexpected(entered.error());
  return found;
}

std::set<std::uint64_t> namespaces_of(const Reach& reach, const std::vector<Process>& processes) {
  std::set<std::uint64_t> inodes;
  for (const PlannedNetwork& network : reach.networks) inodes.insert(network.netns->inode());
  if (!reach.owners) return inodes;
  for (const Process& process : processes) {
    if (process.netns && std::ranges::binary_search(reach.owners->members, process.pid)) inodes.insert(*process.netns);
  }
  return inodes;
}

/// One process in each network namespace that the service lives in.
Result<std::map<std::uint64_t, pid_t>> homes_of(const std::string& name, const ServiceConfigs& services,
                                                const std::vector<Process>& processes) {
  const auto service = services.find(name);
  if (service == services.end()) {
    return fail(Errc::kNotFound, fmt::format("no service '{}' is configured", name), kField,
                "a name below services: in the configuration", "see `chaosctl services`");
  }
  const ProcessSet set = processes_of_service(service->second, processes);
  std::map<std::uint64_t, pid_t> homes;
  for (const Process* process : set.processes) {
    if (process->netns) homes.try_emplace(*process->netns, process->pid);
  }
  if (!homes.empty()) return homes;
  return fail(Errc::kNotFound, fmt::format("service {}: {}", name, set.problem), kField, "a service that runs",
              "start it first, or give its addresses");
}

/// The service shares the target's namespace, and so its addresses: its ports tell it apart.
Status narrow_to_ports(const std::string& name, const std::vector<std::uint16_t>& ports, NetFilter& filter,
                       std::vector<std::string>& notes) {
  if (filter.remote_ports.empty()) filter.remote_ports = ports;
  if (filter.remote_ports.empty()) {
    return fail(Errc::kInvalid, fmt::format("service {} lives in the target's own network namespace", name), kField,
                "a peer that can be told apart from the target",
                "give its ports, in the configuration (services.NAME.ports) or as target port=");
  }
  std::ranges::sort(filter.remote_ports);
  for (const char* loopback : {"127.0.0.0/8", "::1"}) filter.peers.push_back(Prefix::parse(loopback).value());
  notes.push_back(
      fmt::format("service {} lives in the target's own network namespace: what the target says to its ports {} and "
                  "hears from them "
                  "is meant; connections that it opens to the target are not",
                  name, fmt::join(filter.remote_ports, ", ")));
  return {};
}

}  // namespace

std::vector<std::string> take_peer_services(TargetKeys& target) {
  std::vector<std::string> names;
  const auto peers = target.find("peer");
  if (peers == target.end()) return names;
  std::erase_if(peers->second, [&](const std::string& peer) {
    if (!peer.starts_with(kLabel)) return false;
    names.push_back(peer.substr(kLabel.size()));
    return true;
  });
  if (!names.empty() && peers->second.empty()) target.erase(peers);
  return names;
}

Status add_peer_services(const std::vector<std::string>& names, const Reach& reach, const ServiceConfigs& services,
                         const std::vector<Process>& processes, NetFilter& filter, std::vector<std::string>& notes) {
  if (names.empty()) return {};
  const std::set<std::uint64_t> target_homes = namespaces_of(reach, processes);
  const bool alone = names.size() == 1 && filter.peers.empty();
  for (const std::string& name : names) {
    const auto homes = homes_of(name, services, processes);
    if (!homes) return std::unexpected(homes.error());
    for (const auto& [inode, pid] : *homes) {
      const bool shared = target_homes.contains(inode);
      if (shared && !(alone && homes->size() == 1)) {
        return fail(Errc::kInvalid, fmt::format("service {} lives in the target's own network namespace", name), kField,
                    "such a peer stands alone: its ports would narrow the others as well",
                    "start one scenario for each peer");
      }
      const auto netns = Netns::open(std::to_string(pid));
      if (!netns || netns->inode() != inode) {
        return fail(Errc::kNotFound, fmt::format("service {} has just ended", name), kField, {}, "try again");
      }
      const auto addresses = addresses_in(*netns);
      if (!addresses) return std::unexpected(addresses.error());
      filter.peers.insert(filter.peers.end(), addresses->begin(), addresses->end());
      if (!shared) continue;
      if (Status status = narrow_to_ports(name, services.at(name).ports, filter, notes); !status) return status;
    }
  }
  std::ranges::sort(filter.peers);
  const auto repeats = std::ranges::unique(filter.peers);
  filter.peers.erase(repeats.begin(), repeats.end());
  if (filter.peers.empty()) {
    // An empty list would read as "not narrowed": the widest target instead of none.
    return fail(Errc::kNotFound, fmt::format("service {} has no address that others reach it at", names.front()),
                kField);
  }
  return {};
}

}  // namespace chaos
