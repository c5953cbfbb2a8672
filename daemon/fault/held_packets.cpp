#include "fault/held_packets.h"

#include <fmt/format.h>

#include <netinet/in.h>

#include <algorithm>

#include "fault/packet_fault.h"
#include "plan/line_places.h"

namespace chaos {
namespace {

/// What arrives is held for the socket that it would come to: not all protocols have one.
Status check_receivers(Plan& plan) {
  const NetFilter& filter = plan.filter;
  if (filter.direction == Direction::kEgress || (!plan.reach.owners && filter.uids.empty())) return {};
  const auto found = [](std::uint8_t protocol) { return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP; };
  if (filter.direction == Direction::kIngress && !filter.protocols.empty() &&
      std::ranges::none_of(filter.protocols, found)) {
    return fail(Errc::kInvalid, "whose sockets such packets arrive for cannot be told at an interface",
                "target.protocol", "tcp or udp with direction=ingress and a target by socket",
                "aim at the interface or the network namespace, or at direction=egress");
  }
  plan.reach.notes.emplace_back(
      "what arrives is held if a TCP or UDP socket of the target's is found for it; other protocols (ping, ICMP "
      "errors), multicast and later fragments have none and are not held on their way in");
  return {};
}

}  // namespace

Status refine_held(Plan& plan) {
  if (Status status = check_receivers(plan); !status) return status;
  const bool named = plan.request.target.contains("interface");
  for (PlannedNetwork& network : plan.reach.networks) {
    for (const PlannedInterface& planned : network.interfaces) {
      const std::string reason = why_no_line(planned.interface);
      if (reason.empty()) continue;
      if (named) {
        return fail(Errc::kUnsupported, fmt::format("packets cannot be held at {}: {}", planned.interface.name, reason),
                    "target.interface", {}, "choose an Ethernet-like interface");
      }
      plan.reach.notes.push_back(fmt::format("{} is left out: {}", planned.interface.name, reason));
    }
    std::erase_if(network.interfaces, [](const PlannedInterface& p) { return !why_no_line(p.interface).empty(); });
  }
  const bool nowhere = std::ranges::all_of(plan.reach.networks,
                                           [](const PlannedNetwork& network) { return network.interfaces.empty(); });
  if (nowhere && !plan.reach.owners) {
    return fail(Errc::kUnsupported, "the target has no interface that packets can be held at", "target", {},
                "choose a target with an Ethernet-like interface");
  }
  plan.reach.notes.emplace_back(
      "held packets go through chaosd: if it ends, they are lost and the path is straight at once; the sender's socket "
      "is not charged for them meanwhile");
  return {};
}

std::string describe(const Histogram& histogram) {
  if (histogram.count() == 0) return {};
  const auto at = [&](double share) {
    return fmt::format("{:.4g}ms", static_cast<double>(histogram.quantile(share).count()) / 1e6);
  };
  return fmt::format("p50 {}, p99 {}, max {}", at(0.5), at(0.99), at(1.0));
}

std::string share_of(const Counters& counters) {
  const std::uint64_t decided = counters.injected + counters.not_sampled;
  if (decided == 0) return {};
  return fmt::format("{:.4g}%", 100.0 * static_cast<double>(counters.injected) / static_cast<double>(decided));
}

Result<std::unique_ptr<Fault>> prepare_held(const AdmittedPlan& admitted, const Mechanisms& mechanisms,
                                            chaos_fault fault, std::shared_ptr<LineFault> hold, HeldFigures figures) {
  const Plan& plan = admitted.plan();
  fault.seed = *plan.request.seed;
  hold->seed = *plan.request.seed;
  const auto achieved = [hold, figures](const Counters& counters) {
    std::map<std::string, std::string> all = figures(counters, *hold);
    std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
    const auto add = [&all](const char* name, const std::atomic<std::uint64_t>& counter) {
      if (const std::uint64_t value = counter.load(); value > 0) all[name] = std::to_string(value);
    };
    add("discarded", hold->tally.discarded);
    add("undeliverable", hold->tally.undeliverable);
    return all;
  };
  return PacketFault::prepare(mechanisms.packets, plan, fault, achieved, hold);
}

}  // namespace chaos
