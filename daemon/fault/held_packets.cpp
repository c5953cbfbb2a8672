#include "fault/held_packets.h"

#include <fmt/format.h>

#include <algorithm>

#include "fault/packet_fault.h"

namespace chaos {
namespace {

/// Why packets cannot be held there; empty: they can.
std::string why_not(const Interface& interface) {
  if (interface.loopback) {
    // KERNEL.md: two settings of the host and a program that changes the packet type would do it.
    return "a delay line cannot give back what the host sends to itself: the route that came with the packet is lost";
  }
  if (interface.l2_len() == 0) return "it has no Ethernet header, which a delay line needs";
  return {};
}

}  // namespace

Status refine_held(Plan& plan) {
  if (plan.reach.owners && plan.reach.owners->ingress) {
    return fail(Errc::kInvalid, fmt::format("what arrives for {} cannot be held", plan.reach.owners->name),
                "target.direction", "direction=egress with a target by socket",
                "add direction=egress: what the target sends is held, and so is every answer to it that much later");
  }
  const bool named = plan.request.target.contains("interface");
  for (PlannedNetwork& network : plan.reach.networks) {
    for (const PlannedInterface& planned : network.interfaces) {
      const std::string reason = why_not(planned.interface);
      if (reason.empty()) continue;
      if (named) {
        return fail(Errc::kUnsupported, fmt::format("packets cannot be held at {}: {}", planned.interface.name, reason),
                    "target.interface", {}, "choose an Ethernet-like interface");
      }
      plan.reach.notes.push_back(fmt::format("{} is left out: {}", planned.interface.name, reason));
    }
    std::erase_if(network.interfaces, [](const PlannedInterface& p) { return !why_not(p.interface).empty(); });
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
