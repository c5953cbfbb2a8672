#include "plan/planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <random>

#include "plan/answers.h"
#include "plan/handed_over.h"
#include "plan/host_share.h"
#include "plan/peer_service.h"
#include "plan/services.h"

namespace chaos {
namespace {

Status check_default_route(const Reach& reach, bool confirmed) {
  // One service of many on it is another matter: its own traffic is hit, and the blast radius counts it.
  if (confirmed || reach.owners) return {};
  for (const PlannedNetwork& network : reach.networks) {
    const auto it = std::ranges::find_if(network.interfaces, &PlannedInterface::host_default_route);
    if (it == network.interfaces.end()) continue;
    return fail(Errc::kRefused, fmt::format("{} carries the host's default route", it->interface.name),
                "target.interface", "confirm_default_route",
                "everything that this host says to the world would be hit; if you mean it: --confirm-default-route");
  }
  return {};
}

/// What a whole network touches: a namespace belongs to those who live in it. In the host's own the default route and
/// loopback are everybody's; any other interface is one of its own.
Footprint footprint_of(const PlannedNetwork& network, const std::vector<Member>& inhabitants) {
  Footprint footprint;
  if (!network.netns->is_initial()) {
    footprint.members = inhabitants;
    if (inhabitants.empty()) {
      footprint.members = {{.name = fmt::format("network namespace {}", network.netns->inode())}};
    }
    return footprint;
  }
  const bool shared =
      std::ranges::any_of(network.interfaces, [](const PlannedInterface& i) { return i.interface.loopback; });
  if (shared) footprint.members = inhabitants;
  for (const PlannedInterface& planned : network.interfaces) {
    footprint.everything = footprint.everything || planned.host_default_route;
    if (planned.interface.loopback && !inhabitants.empty()) continue;
    footprint.members.push_back(
        {.name = fmt::format("interface {} (ifindex {})", planned.interface.name, planned.interface.ifindex)});
  }
  return footprint;
}

Footprint footprint_of(const SocketOwners& owners, const Population& population) {
  Footprint footprint;
  footprint.members = population.of_processes(owners.members);
  if (footprint.members.empty()) footprint.members = {{.name = owners.name}};
  return footprint;
}

/// Whether all who live in the network would feel it.
bool is_shared(const PlannedNetwork& network) {
  const auto own = [](const PlannedInterface& i) { return !i.interface.loopback && !i.host_default_route; };
  return !network.netns->is_initial() || !std::ranges::all_of(network.interfaces, own);
}

/// Sockets of others that the target has. One that cannot be told apart is a thing to know, and no reason to refuse.
void find_handed_over_sockets(Plan& plan) {
  if (!plan.reach.owners || plan.reach.processes) return;
  auto found = find_handed_over(*plan.reach.owners);
  if (!found) {
    plan.reach.notes.push_back("sockets made by other cgroups are not hit: " + found.error().message);
    return;
  }
  plan.reach.owners->handed_over = std::move(found->sockets);
  if (found->names.empty()) return;
  plan.reach.notes.push_back(
      fmt::format("made by another cgroup and hit with the target: {}", fmt::join(found->names, ", ")));
}

/// Fills in population, footprint and protected things. Errors: as host_share().
Status look_around(Plan& plan, const PlanDefaults& defaults, const std::vector<Process>& processes) {
  plan.population = population_of(resolve_services(defaults.services, processes), processes);
  std::function<bool(const Process&)> touched;
  std::string all = "everything on this host (its default route)";
  std::vector<std::string> protected_paths;
  if (plan.reach.host) {
    auto share = host_share(plan.parameters, defaults.protect, plan.population, processes);
    if (!share) return std::unexpected(share.error());
    plan.footprint = std::move(share->footprint);
    all = std::move(share->all);
    protected_paths = std::move(share->protected_paths);
    touched = [everything = plan.footprint.everything, users = std::move(share->users)](const Process& p) {
      return everything || users.contains(p.pid);
    };
  } else if (plan.reach.owners) {
    const std::vector<pid_t>& members = plan.reach.owners->members;
    plan.footprint = footprint_of(*plan.reach.owners, plan.population);
    touched = [&members](const Process& p) { return std::ranges::binary_search(members, p.pid); };
  } else {
    const PlannedNetwork& network = plan.reach.networks.front();
    const std::uint64_t netns = network.netns->inode();
    plan.footprint = footprint_of(network, plan.population.in_netns(netns));
    touched = [netns, shared = is_shared(network)](const Process& p) { return shared && p.netns == netns; };
  }
  plan.protected_things = protected_among(defaults.protect, processes, touched);
  plan.protected_things.insert(plan.protected_things.end(), protected_paths.begin(), protected_paths.end());
  for (const Member& member : plan.footprint.members) plan.summary.touches.push_back(member.name);
  if (plan.footprint.everything) plan.summary.touches.push_back(all);
  plan.summary.blast_radius = format_share(blast_share(plan.population, std::span(&plan.footprint, 1)));
  return {};
}

std::string mechanism_of(const Plan& plan, bool classic_tc) {
  std::string text;
  if (!plan.reach.networks.empty()) text = classic_tc ? "clsact filter" : "tcx, head of the chain";
  if (plan.reach.owners && plan.reach.owners->ingress) text += text.empty() ? "cgroup ingress" : "; cgroup ingress";
  return text + "; actions behind a switch that dies with chaosd";
}

void describe(Plan& plan, bool classic_tc) {
  PlanSummary& summary = plan.summary;
  const bool journaled = classic_tc && !plan.reach.networks.empty();
  summary.ownership = to_string(journaled ? Ownership::kJournaled : plan.ownership);
  const bool by_packets = !plan.reach.processes && !plan.reach.host;
  summary.mechanism = !by_packets ? plan.mechanism : mechanism_of(plan, classic_tc);
  summary.parameters = plan.parameters;
  summary.notes = plan.reach.notes;
  if (journaled) {
    summary.notes.emplace_back(
        "a device without a clsact gets one: at that moment, and again at the end, the kernel drops what the device is "
        "about to send, for a few milliseconds and uncounted");
  }
  for (const PlannedNetwork& network : plan.reach.networks) {
    for (const PlannedInterface& planned : network.interfaces) {
      summary.interfaces.push_back(fmt::format("{} (ifindex {}) in network namespace {}, {}", planned.interface.name,
                                               planned.interface.ifindex, network.netns->inode(),
                                               planned.egress && planned.ingress ? "egress and ingress"
                                               : planned.egress                  ? "egress"
                                                                                 : "ingress"));
      if (!planned.interface.up && !plan.reach.owners) plan.warnings.push_back(planned.interface.name + " is down");
    }
  }
  if (plan.reach.owners) {
    const SocketOwners& owners = *plan.reach.owners;
    for (const Cgroup& cgroup : owners.cgroups) {
      if (owners.by == OwnedBy::kCgroup) summary.cgroups.push_back(cgroup.path);
    }
    for (const pid_t pid : owners.members) summary.processes.push_back(std::to_string(pid));
    if (owners.members.empty()) {
      plan.warnings.push_back(owners.name + " has no processes now: " +
                              (plan.reach.processes ? "they are" : "what they send is") + " hit once they are there");
    }
  }
  for (const Prefix& peer : plan.filter.peers) summary.peers.push_back(peer.str());
  if (!plan.filter.remote_ports.empty() || !plan.filter.local_ports.empty()) {
    summary.notes.emplace_back("later fragments of a datagram carry no ports and never match a port filter");
  }
  if (by_packets) {
    summary.notes.emplace_back("one skb may stand for many wire packets (GSO, GRO); *_segments count wire packets");
  }
  if (!plan.request.severity) {
    summary.notes.push_back(fmt::format("counts as severity {} where severity is limited", plan.severity));
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
  plan.ownership = kind.ownership;
  plan.request = request;
  auto parameters = resolve_parameters(kind, request.parameters, request.severity, defaults.parameters);
  if (!parameters) return std::unexpected(parameters.error());
  plan.parameters = std::move(*parameters);
  TargetKeys target = request.target;
  const std::vector<std::string> peer_services = take_peer_services(target);
  auto filter = parse_net_filter(target);
  if (!filter) return std::unexpected(filter.error());
  plan.filter = std::move(*filter);
  const KindSpec& aimed = aimed_as(kind, plan.parameters);
  mean_answers(aimed, target, plan.filter);

  const auto processes = list_user_processes();
  if (!processes) return std::unexpected(processes.error());
  auto reach = find_reach(aimed, target, plan.filter, defaults.services, *processes);
  if (!reach) return std::unexpected(reach.error());
  plan.reach = std::move(*reach);
  if (Status status = find_answering_ports(aimed, target, defaults.services, plan); !status) {
    return std::unexpected(status.error());
  }
  Status peers =
      add_peer_services(peer_services, plan.reach, defaults.services, *processes, plan.filter, plan.reach.notes);
  if (!peers) return std::unexpected(peers.error());
  if (Status status = check_default_route(plan.reach, request.confirm_default_route); !status) {
    return std::unexpected(status.error());
  }
  find_handed_over_sockets(plan);
  if (Status status = look_around(plan, defaults, *processes); !status) return std::unexpected(status.error());
  plan.severity = effective_severity(kind, plan.parameters, request.severity, defaults.parameters);

  if (!plan.request.duration) plan.request.duration = defaults.duration;
  if (!plan.request.seed) plan.request.seed = random_seed();
  if (Status status = kind.refine != nullptr ? kind.refine(plan) : Status(); !status) {
    return std::unexpected(status.error());
  }
  describe(plan, defaults.classic_tc);
  return plan;
}

}  // namespace chaos
