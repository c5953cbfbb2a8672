#include "plan/planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "base/contains.h"
#include "plan/services.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 6> kPrimaryKeys{"service", "unit", "cgroup", "container", "pid", "interface"};

/// Exactly one primary target; netns alone is one, and beside another it says where that one lives.
Status check_primary(const KindSpec& kind, const TargetKeys& target) {
  std::vector<std::string> primaries;
  for (const auto& [key, values] : target) {
    if (!is_target_key(key)) {
      return fail(Errc::kInvalid, fmt::format("unknown target key '{}'", key), "target." + key, "a known target key",
                  "known: service, unit, cgroup, container, pid, interface, netns; peer, port, local-port, protocol, "
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
                "give interface=NAME or netns=NAME (chaosctl: --target interface=eth1)");
  }
  if (!primaries.empty() && primaries[0] != "interface") {
    return fail(Errc::kUnsupported, fmt::format("target '{}' is not supported by this version", primaries[0]),
                "target." + primaries[0], "interface or netns", "aim at the interface or namespace, narrowed by port");
  }
  for (const std::string key : {"uid", "comm"}) {
    if (!target.contains(key)) continue;
    return fail(Errc::kUnsupported, fmt::format("filter '{}' is not supported by this version", key), "target." + key);
  }
  if (!primaries.empty() && !kind.targets.interface) {
    return fail(Errc::kInvalid, fmt::format("{} cannot be aimed at an interface", kind.name), "target.interface");
  }
  return {};
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
    found.push_back({.interface = interface, .host_default_route = routed->contains(interface.ifindex)});
  }
  for (const std::string& name : names) {
    if (contains(*all, name, &Interface::name)) continue;
    return fail(Errc::kNotFound, fmt::format("no interface '{}' in network namespace {}", name, netns.inode()),
                "target.interface", {}, "see `ip link` (in that namespace)");
  }
  return found;
}

Status check_default_route(const std::vector<PlannedInterface>& interfaces, bool confirmed) {
  if (confirmed) return {};
  auto it = std::ranges::find_if(interfaces, &PlannedInterface::host_default_route);
  if (it == interfaces.end()) return {};
  return fail(Errc::kRefused, fmt::format("{} carries the host's default route", it->interface.name),
              "target.interface", "confirm_default_route",
              "everything that this host says to the world would be hit; if you mean it: --confirm-default-route");
}

void choose_directions(std::vector<PlannedInterface>& interfaces, Direction direction, PlanSummary& summary) {
  for (PlannedInterface& planned : interfaces) {
    planned.egress = direction != Direction::kIngress;
    planned.ingress = direction != Direction::kEgress;
    if (!planned.interface.loopback || direction != Direction::kBoth) continue;
    planned.ingress = false;
    summary.notes.push_back(fmt::format(
        "{}: own traffic passes egress and ingress of the same device; it is counted and hit once, at egress",
        planned.interface.name));
  }
}

/// What the plan touches, as the blast radius counts it. A namespace belongs to those who live in it. In the host's own
/// the default route and loopback are everybody's; any other interface is one of its own.
Footprint footprint_of(const Plan& plan, const std::vector<Member>& inhabitants) {
  Footprint footprint;
  if (!plan.netns->is_initial()) {
    footprint.members = inhabitants;
    if (inhabitants.empty()) footprint.members = {{fmt::format("network namespace {}", plan.netns->inode()), 1.0, {}}};
    return footprint;
  }
  const bool shared =
      std::ranges::any_of(plan.interfaces, [](const PlannedInterface& i) { return i.interface.loopback; });
  if (shared) footprint.members = inhabitants;
  for (const PlannedInterface& planned : plan.interfaces) {
    footprint.everything = footprint.everything || planned.host_default_route;
    if (planned.interface.loopback && !inhabitants.empty()) continue;
    footprint.members.push_back(
        {fmt::format("interface {} (ifindex {})", planned.interface.name, planned.interface.ifindex), 1.0, {}});
  }
  return footprint;
}

/// Fills in population, footprint and protected things from one look at the host's processes.
Status look_around(Plan& plan, const PlanDefaults& defaults) {
  auto processes = list_user_processes();
  if (!processes) return std::unexpected(processes.error());
  plan.population = population_of(resolve_services(defaults.services, *processes), *processes);
  plan.footprint = footprint_of(plan, plan.population.in_netns(plan.netns->inode()));
  const auto own = [](const PlannedInterface& i) { return !i.interface.loopback && !i.host_default_route; };
  const bool shared = !plan.netns->is_initial() || !std::ranges::all_of(plan.interfaces, own);
  if (shared) plan.protected_things = protected_in(defaults.protect, *processes, {plan.netns->inode()});
  for (const Member& member : plan.footprint.members) plan.summary.touches.push_back(member.name);
  if (plan.footprint.everything) plan.summary.touches.emplace_back("everything on this host (its default route)");
  plan.summary.blast_radius = format_share(blast_share(plan.population, std::span(&plan.footprint, 1)));
  return {};
}

void describe(Plan& plan, bool classic_tc) {
  PlanSummary& summary = plan.summary;
  summary.ownership = to_string(classic_tc ? Ownership::kJournaled : plan.kind->ownership);
  summary.mechanism = classic_tc ? "clsact filter; actions behind a switch that dies with chaosd"
                                 : "tcx, head of the chain; actions behind a switch that dies with chaosd";
  summary.parameters = plan.parameters;
  for (const PlannedInterface& planned : plan.interfaces) {
    summary.interfaces.push_back(fmt::format("{} (ifindex {}) in network namespace {}, {}", planned.interface.name,
                                             planned.interface.ifindex, plan.netns->inode(),
                                             planned.egress && planned.ingress ? "egress and ingress"
                                             : planned.egress                  ? "egress"
                                                                               : "ingress"));
    if (!planned.interface.up) plan.warnings.push_back(planned.interface.name + " is down");
  }
  for (const Prefix& peer : plan.filter.peers) summary.peers.push_back(peer.str());
  if (!plan.filter.remote_ports.empty() || !plan.filter.local_ports.empty()) {
    summary.notes.emplace_back("later fragments of a datagram carry no ports and never match a port filter");
  }
  summary.notes.emplace_back("one skb may stand for many wire packets (GSO, GRO); *_segments count wire packets");
  if (!plan.request.severity) {
    summary.notes.push_back(fmt::format("counts as severity {} where severity is limited", plan.severity));
  }
  if (plan.request.target.contains("interface") == false) {
    summary.notes.emplace_back("interfaces that are added to the namespace later are not covered");
  }
}

std::uint64_t random_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

}  // namespace

Result<Plan> make_plan(const KindSpec& kind, const ScenarioRequest& request, const PlanDefaults& defaults) {
  Plan plan;
  plan.kind = &kind;
  plan.request = request;
  auto parameters = resolve_parameters(kind, request.parameters, request.severity, defaults.parameters);
  if (!parameters) return std::unexpected(parameters.error());
  plan.parameters = std::move(*parameters);
  if (Status status = check_primary(kind, request.target); !status) return std::unexpected(status.error());
  auto filter = parse_net_filter(request.target);
  if (!filter) return std::unexpected(filter.error());
  plan.filter = std::move(*filter);

  auto netns = open_netns(request.target);
  if (!netns) return std::unexpected(netns.error());
  plan.netns = std::move(*netns);
  auto names = request.target.find("interface");
  auto interfaces =
      find_interfaces(*plan.netns, names == request.target.end() ? std::vector<std::string>{} : names->second);
  if (!interfaces) return std::unexpected(interfaces.error());
  plan.interfaces = std::move(*interfaces);
  if (Status status = check_default_route(plan.interfaces, request.confirm_default_route); !status) {
    return std::unexpected(status.error());
  }
  choose_directions(plan.interfaces, plan.filter.direction, plan.summary);

  if (Status status = look_around(plan, defaults); !status) return std::unexpected(status.error());
  plan.severity = effective_severity(kind, plan.parameters, request.severity, defaults.parameters);

  if (!plan.request.duration) plan.request.duration = defaults.duration;
  if (!plan.request.seed) plan.request.seed = random_seed();
  describe(plan, defaults.classic_tc);
  return plan;
}

}  // namespace chaos
