#include "plan/reach.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/contains.h"
#include "base/instance.h"
#include "plan/line_places.h"

namespace chaos {
namespace {

constexpr std::string_view kHost = "host";
constexpr std::string_view kThisHost = "localhost";
constexpr std::array kPrimaryKeys{std::string_view("service"),
                                  std::string_view("unit"),
                                  std::string_view("cgroup"),
                                  std::string_view("container"),
                                  std::string_view("pid"),
                                  std::string_view("interface"),
                                  kHost};

/// Whether the kind can be aimed at this primary key, and has a use for the others.
Status check_support(const KindSpec& kind, const TargetKeys& target, const std::string& primary) {
  const TargetSupport& can = kind.targets;
  const bool narrowed = target.contains("comm") || (can.users && target.contains("uid"));
  const bool networks = primary == "interface" || (primary == "netns" && !narrowed);
  const bool possible = networks           ? can.interface
                        : primary == kHost ? can.host
                                           : can.sockets || (can.processes && (primary != "netns" || can.users));
  if (!possible) {
    return fail(Errc::kInvalid, fmt::format("{} cannot be aimed at target '{}'", kind.name, primary),
                "target." + primary, "a target that the kind has",
                "see `chaosctl kinds " + std::string(kind.name) + "`");
  }
  if (!can.processes) return {};
  for (const auto& [key, values] : target) {
    if (key == primary || key == "comm" || (can.users && key == "uid")) continue;
    return fail(Errc::kInvalid, fmt::format("{} is about processes, which '{}' does not tell apart", kind.name, key),
                "target." + key, "a target that the kind has", "leave it out");
  }
  return {};
}

/// Exactly one primary target; netns alone is one, and beside another it says where that one lives.
Status check_primary(const KindSpec& kind, const TargetKeys& target) {
  std::vector<std::string> primaries;
  for (const auto& [key, values] : target) {
    if (!is_target_key(key)) {
      return fail(
          Errc::kInvalid, fmt::format("unknown target key '{}'", key), "target." + key, "a known target key",
          "known: host, service, unit, cgroup, container, pid, interface, netns; peer, port, local-port, protocol, "
          "direction, uid, comm");
    }
    if (values.empty() || std::ranges::any_of(values, [](const std::string& v) { return v.empty(); })) {
      return fail(Errc::kInvalid, fmt::format("target '{}' has no value", key), "target." + key, "not empty");
    }
    if (contains(kPrimaryKeys, key)) primaries.push_back(key);
  }
  const bool netns = target.contains("netns");
  if (primaries.size() > 1) {
    return fail(Errc::kInvalid, fmt::format("more than one primary target: {}", fmt::join(primaries, ", ")), "target",
                "exactly one primary target", "start one scenario for each");
  }
  if (primaries.empty() && !netns) {
    return fail(Errc::kInvalid, "no target", "target", "exactly one primary target",
                "give service=NAME, cgroup=PATH, interface=NAME, netns=NAME, … (chaosctl: --target service=web)");
  }
  return check_support(kind, target, primaries.empty() ? "netns" : primaries[0]);
}

Result<std::shared_ptr<const Netns>> open_netns(const TargetKeys& target) {
  auto it = target.find("netns");
  if (it != target.end() && it->second.size() > 1) {
    return fail(Errc::kInvalid, "more than one network namespace", "target.netns", "one namespace for each scenario",
                "start one scenario for each");
  }
  auto ns = it == target.end() ? Netns::current() : Netns::open(it->second.front());
  if (!ns) return std::unexpected(ns.error());
  return std::make_shared<const Netns>(std::move(*ns));
}

/// The interfaces that are meant, with whether each carries a default route. `names` empty: all.
Result<std::vector<PlannedInterface>> find_interfaces(const Netns& netns, const std::vector<std::string>& names) {
  Result<std::vector<Interface>> all = fail(Errc::kInternal, "not listed");
  Result<std::set<unsigned>> routed = std::set<unsigned>{};
  const bool initial = netns.is_initial();
  Status entered = netns.run([&] {
    all = list_interfaces();
    if (initial) routed = default_route_interfaces();
  });
  if (!entered) return std::unexpected(entered.error());
  if (!all) return std::unexpected(all.error());
  if (!routed) return std::unexpected(routed.error());
  std::vector<PlannedInterface> found;
  for (const Interface& interface : *all) {
    if (!names.empty() && !contains(names, interface.name)) continue;
    if (names.empty() && interface.name.starts_with(kDevicePrefix)) continue;
    found.push_back({.interface = interface, .host_default_route = routed->contains(interface.ifindex)});
  }
  for (const std::string& name : names) {
    if (contains(*all, name, &Interface::name)) continue;
    return fail(Errc::kNotFound, fmt::format("no interface '{}' in network namespace {}", name, netns.inode()),
                "target.interface", {}, "see `ip link` (in that namespace)");
  }
  return found;
}

void choose_directions(std::vector<PlannedInterface>& interfaces, Direction direction,
                       std::vector<std::string>& notes) {
  for (PlannedInterface& planned : interfaces) {
    planned.egress = direction != Direction::kIngress;
    planned.ingress = direction != Direction::kEgress;
    if (!planned.interface.loopback || direction != Direction::kBoth) continue;
    planned.ingress = false;
    notes.push_back(fmt::format(
        "{}: own traffic passes egress and ingress of the same device; it is counted and hit once, at egress",
        planned.interface.name));
  }
}

/// The namespaces that `members` live in, each once. Those that end meanwhile are left out.
std::vector<std::shared_ptr<const Netns>> namespaces_of(const std::vector<pid_t>& members,
                                                        const std::vector<Process>& processes) {
  std::map<std::uint64_t, std::shared_ptr<const Netns>> found;
  for (const Process& process : processes) {
    if (!process.netns || found.contains(*process.netns)) continue;
    if (!std::ranges::binary_search(members, process.pid)) continue;
    auto netns = Netns::open(std::to_string(process.pid));
    if (netns && netns->inode() == *process.netns) {
      found[*process.netns] = std::make_shared<const Netns>(std::move(*netns));
    }
  }
  std::vector<std::shared_ptr<const Netns>> list;
  list.reserve(found.size());
  for (auto& [inode, netns] : found) list.push_back(std::move(netns));
  return list;
}

const char* note_of(OwnedBy by) {
  switch (by) {
    case OwnedBy::kCgroup:
      return "a socket belongs to the cgroup that it was made in; those that another made (socket activation, an "
             "inherited listener, before a move) are hit if a process of the target has them when the scenario begins, "
             "or when one starts or ends later, and then whoever else has them is hit too";
    case OwnedBy::kProcess:
      return "a socket belongs to the process that made it, or that had it when the scenario began; what a listener "
             "accepts belongs to who made the listener";
    case OwnedBy::kUser:
      break;
  }
  return "a socket belongs to the user who made it, or to whom fchown(2) gave it, and to the namespace it was made in";
}

/// Where packets of sockets are held: at interfaces, both ways, and each on its way once.
void choose_line_places(std::vector<PlannedInterface>& interfaces, Direction direction, bool named,
                        std::vector<std::string>& notes) {
  for (PlannedInterface& planned : interfaces) {
    const std::string reason = why_no_line(planned.interface);
    // One that was asked for by its name is refused, and not left out.
    if (!reason.empty() && !named) {
      planned.egress = false;
      notes.push_back(fmt::format("{} is left out: {}", planned.interface.name, reason));
      continue;
    }
    planned.egress = direction != Direction::kIngress;
    planned.ingress = direction != Direction::kEgress;
    const std::string elsewhere = why_no_receiver(planned.interface);
    if (!planned.ingress || elsewhere.empty()) continue;
    planned.ingress = false;
    notes.push_back(fmt::format("{}: {}", planned.interface.name, elsewhere));
  }
  std::erase_if(interfaces, [](const PlannedInterface& planned) { return !planned.egress && !planned.ingress; });
}

/// A reach of owners: the interfaces of all namespaces that they live in, or of the one that the target names.
Result<Reach> reach_of_owners(const KindSpec& kind, SocketOwners owners, const TargetKeys& target,
                              const NetFilter& filter, const std::vector<Process>& processes) {
  std::ranges::sort(owners.members);
  owners.ingress = filter.direction != Direction::kEgress && !kind.holds_packets;
  Reach reach;
  std::vector<std::shared_ptr<const Netns>> namespaces = namespaces_of(owners.members, processes);
  if (target.contains("netns")) {
    auto given = open_netns(target);
    if (!given) return std::unexpected(given.error());
    namespaces = {std::move(*given)};
  }
  const auto names = target.find("interface");
  for (auto& netns : namespaces) {
    if (filter.direction == Direction::kIngress && !kind.holds_packets) break;
    auto interfaces = find_interfaces(*netns, names == target.end() ? std::vector<std::string>{} : names->second);
    if (!interfaces) return std::unexpected(interfaces.error());
    for (PlannedInterface& planned : *interfaces) planned.egress = true;
    if (kind.holds_packets) choose_line_places(*interfaces, filter.direction, names != target.end(), reach.notes);
    reach.networks.push_back({std::move(netns), std::move(*interfaces)});
  }
  reach.notes.emplace_back(note_of(owners.by));
  if (filter.direction == Direction::kBoth) {
    reach.notes.emplace_back("what members send to each other on this host is decided on twice: as sent, as received");
  }
  reach.owners = std::move(owners);
  return reach;
}

Result<Reach> reach_of_processes(SocketOwners owners, const std::vector<Process>& processes) {
  std::ranges::sort(owners.members);
  auto found = process_reach(owners, processes);
  if (!found) return std::unexpected(found.error());
  return Reach{.networks = {}, .owners = std::move(owners), .processes = std::move(*found), .host = false, .notes = {}};
}

Result<Reach> reach_of_sockets(const KindSpec& kind, const TargetKeys& target, const std::string& key,
                               const NetFilter& filter, const ServiceConfigs& services,
                               const std::vector<Process>& processes) {
  auto owners = find_owners(target, key, services, processes);
  if (!owners) return std::unexpected(owners.error());
  const auto comms = target.find("comm");
  if (comms != target.end()) {
    const std::set<pid_t> members(owners->members.begin(), owners->members.end());
    owners = owners_by_comm(
        comms->second, owners->name, [&](const Process& p) { return members.contains(p.pid); }, processes);
    if (!owners) return std::unexpected(owners.error());
  }
  if (kind.targets.processes) return reach_of_processes(std::move(*owners), processes);
  // What they receive is seen at their cgroup, in whatever namespace.
  if (target.contains("netns") && filter.direction != Direction::kEgress && !kind.holds_packets) {
    return fail(Errc::kInvalid, fmt::format("what arrives for {} cannot be told by its namespace", owners->name),
                "target.netns", "direction=egress beside such a target", "add direction=egress, or leave netns out");
  }
  return reach_of_owners(kind, std::move(*owners), target, filter, processes);
}

/// What arrives at an interface has no socket yet: only what is sent can be told by its owner. Kinds that hold packets
/// have the one looked up that they would come to.
Status check_egress(const KindSpec& kind, const NetFilter& filter, const std::string& key) {
  if (filter.direction == Direction::kEgress || kind.holds_packets) return {};
  return fail(Errc::kInvalid, fmt::format("what arrives at an interface belongs to no {} yet", key), "target." + key,
              "direction=egress with such a target", "add direction=egress, or leave the interface out");
}

/// Processes by name in a namespace.
Result<Reach> reach_of_comm(const KindSpec& kind, const TargetKeys& target, const NetFilter& filter,
                            const std::vector<Process>& processes) {
  if (Status status = target.contains("interface") ? check_egress(kind, filter, "comm") : Status(); !status) {
    return std::unexpected(status.error());
  }
  const auto netns = open_netns(target);
  if (!netns) return std::unexpected(netns.error());
  const std::uint64_t inode = (*netns)->inode();
  auto owners = owners_by_comm(
      target.at("comm"), fmt::format("network namespace {}", inode),
      [inode](const Process& p) { return p.netns == inode; }, processes);
  if (!owners) return std::unexpected(owners.error());
  if (kind.targets.processes) return reach_of_processes(std::move(*owners), processes);
  return reach_of_owners(kind, std::move(*owners), target, filter, processes);
}

/// Users in a namespace, on all its interfaces.
Result<Reach> reach_of_users(const KindSpec& kind, const TargetKeys& target, const NetFilter& filter,
                             const std::vector<Process>& processes) {
  const auto netns = open_netns(target);
  if (!netns) return std::unexpected(netns.error());
  auto owners = owners_by_user(filter.uids, (*netns)->inode(), processes);
  if (!owners) return std::unexpected(owners.error());
  if (kind.targets.processes) return reach_of_processes(std::move(*owners), processes);
  return reach_of_owners(kind, std::move(*owners), target, filter, processes);
}

/// This host as a whole. One chaosd never talks to another's, so there is one name for it.
Result<Reach> reach_of_host(const TargetKeys& target) {
  if (target.at(std::string(kHost)) != std::vector<std::string>{std::string(kThisHost)}) {
    return fail(Errc::kInvalid, "chaosd acts on the host that it runs on alone", "target.host", "localhost",
                "give host=localhost");
  }
  if (target.contains("comm")) {
    return fail(Errc::kInvalid, "the host has all processes, whatever their names", "target.comm",
                "host=localhost alone", "leave it out");
  }
  return Reach{.networks = {}, .owners = {}, .processes = {}, .host = true, .notes = {}};
}

Result<Reach> reach_of_network(const TargetKeys& target, const NetFilter& filter) {
  auto netns = open_netns(target);
  if (!netns) return std::unexpected(netns.error());
  const auto names = target.find("interface");
  auto interfaces = find_interfaces(**netns, names == target.end() ? std::vector<std::string>{} : names->second);
  if (!interfaces) return std::unexpected(interfaces.error());
  Reach reach;
  choose_directions(*interfaces, filter.direction, reach.notes);
  if (names == target.end()) {
    reach.notes.emplace_back("interfaces that are added to the namespace later are not covered");
  }
  reach.networks.push_back({std::move(*netns), std::move(*interfaces)});
  return reach;
}

}  // namespace

Result<Reach> find_reach(const KindSpec& kind, const TargetKeys& target, const NetFilter& filter,
                         const ServiceConfigs& services, const std::vector<Process>& processes) {
  if (Status status = check_primary(kind, target); !status) return std::unexpected(status.error());
  if (target.contains(std::string(kHost))) return reach_of_host(target);
  for (const std::string_view key : kPrimaryKeys) {
    if (key == "interface" || !target.contains(std::string(key))) continue;
    return reach_of_sockets(kind, target, std::string(key), filter, services, processes);
  }
  if (target.contains("comm")) return reach_of_comm(kind, target, filter, processes);
  if (filter.uids.empty()) return reach_of_network(target, filter);
  if (!target.contains("interface")) return reach_of_users(kind, target, filter, processes);
  if (Status status = check_egress(kind, filter, "uid"); !status) return std::unexpected(status.error());
  return reach_of_network(target, filter);
}

}  // namespace chaos
