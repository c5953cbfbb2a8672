#include "fault/network_partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <random>
#include <utility>

#include "fault/packet_fault.h"

namespace chaos {
namespace {

constexpr std::string_view kBlackhole = "blackhole";
constexpr std::string_view kReject = "reject";
constexpr std::array kModes{kBlackhole, kReject};
constexpr std::array kOnlyReject{kReject};
constexpr std::array<std::string_view, 5> kShareSteps{"20%", "40%", "60%", "80%", "100%"};

// What connect(2) and sendmsg(2) tell of an unreachable peer.
constexpr std::array<std::pair<std::string_view, int>, 8> kErrnos{{{"EHOSTUNREACH", EHOSTUNREACH},
                                                                   {"ENETUNREACH", ENETUNREACH},
                                                                   {"ECONNREFUSED", ECONNREFUSED},
                                                                   {"ECONNRESET", ECONNRESET},
                                                                   {"ETIMEDOUT", ETIMEDOUT},
                                                                   {"EADDRNOTAVAIL", EADDRNOTAVAIL},
                                                                   {"EACCES", EACCES},
                                                                   {"EPERM", EPERM}}};
constexpr auto kErrnoNames = [] {
  std::array<std::string_view, kErrnos.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kErrnos[i].first;
  return names;
}();

constexpr std::array kParameters{
    ParamSpec{.name = "mode",
              .type = ParamType::kChoice,
              .help =
                  "blackhole: packets vanish, callers wait; reject: new connections and datagrams of the target end "
                  "at once with an error, established connections are cut off as well",
              .default_value = kBlackhole,
              .choices = kModes},
    ParamSpec{.name = "errno",
              .type = ParamType::kChoice,
              .help = "the error that the target's calls get",
              .default_value = kErrnoNames[0],
              .choices = kErrnoNames,
              .when = {"mode", kOnlyReject}},
    ParamSpec{.name = "share",
              .type = ParamType::kProbability,
              .help = "share of the peers that are cut off, chosen by the seed: of the list that peer gives, one at "
                      "least; else of all remote addresses",
              .minimum = "0.1%",
              .maximum = "100%",
              .default_value = "100%",
              .severity_steps = kShareSteps},
};
constexpr std::array<std::string_view, 1> kFeatures{"tc"};

/// So many of the listed peers, by the seed.
void choose_peers(Plan& plan, Probability share) {
  std::vector<Prefix>& peers = plan.filter.peers;
  const auto wanted = static_cast<std::size_t>(std::lround(share.fraction() * static_cast<double>(peers.size())));
  const std::size_t count = std::max<std::size_t>(wanted, 1);
  if (count == peers.size()) return;
  plan.reach.notes.push_back(fmt::format("{} of {} peers are cut off", count, peers.size()));
  std::mt19937_64 random(*plan.request.seed);
  // Fisher and Yates, by hand: what the library's shuffle does is not the same everywhere.
  for (std::size_t i = 0; i < count; ++i) std::swap(peers[i], peers[i + random() % (peers.size() - i)]);
  peers.resize(count);
  std::ranges::sort(peers);
}

Status refine(Plan& plan) {
  const auto mode = get_string(plan.parameters, "mode");
  const auto share = get_probability(plan.parameters, "share");
  if (!mode) return std::unexpected(mode.error());
  if (!share) return std::unexpected(share.error());
  if (*mode == kReject && !plan.reach.owners) {
    return fail(Errc::kInvalid, "reject answers the target's own calls, and an interface or namespace makes none",
                "parameters.mode", "reject goes with target service, unit, cgroup or container",
                "choose such a target, or mode=blackhole");
  }
  if (*mode == kReject && plan.filter.direction == Direction::kIngress) {
    return fail(Errc::kInvalid, "reject answers what the target sends, and direction=ingress leaves that alone",
                "target.direction", "egress or both", "leave out direction, or choose mode=blackhole");
  }
  // A user's sockets alone are told apart by their namespace at these hooks as well.
  if (*mode == kReject && plan.request.target.contains("netns") && plan.reach.owners->by != OwnedBy::kUser) {
    return fail(Errc::kInvalid, "calls are refused wherever the target makes them", "target.netns",
                "no netns with mode=reject", "leave out netns, or choose mode=blackhole");
  }
  if (*mode == kReject) plan.reach.notes.emplace_back("calls are refused by links at the target's cgroups");
  if (!plan.filter.peers.empty()) choose_peers(plan, *share);
  return {};
}

Result<std::uint16_t> chosen_errno(const Parameters& parameters) {
  const auto name = get_string(parameters, "errno");
  if (!name) return std::unexpected(name.error());
  const auto found = std::ranges::find(kErrnoNames, *name);
  return static_cast<std::uint16_t>(kErrnos[static_cast<std::size_t>(found - kErrnoNames.begin())].second);
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  const auto mode = get_string(plan.parameters, "mode");
  const auto share = get_probability(plan.parameters, "share");
  if (!mode) return std::unexpected(mode.error());
  if (!share) return std::unexpected(share.error());
  chaos_fault fault{};
  fault.seed = *plan.request.seed;
  fault.threshold = 1ULL << 32;
  if (plan.filter.peers.empty() && share->fraction() < 1) {
    fault.model = CHAOS_MODEL_PER_PEER;
    fault.of.share = share->threshold32();
  }
  if (*mode == kReject) {
    const auto error = chosen_errno(plan.parameters);
    if (!error) return std::unexpected(error.error());
    fault.refuse_errno = *error;
  }
  return PacketFault::prepare(mechanisms.packets, plan, fault,
                              [](const Counters&) { return std::map<std::string, std::string>(); });
}

}  // namespace

const FaultKind kNetworkPartition{
    .spec = {.name = "network_partition",
             .help = "cut a target off from its peers, one way or both ways, new and established connections alike",
             .parameters = kParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures,
             .refine = refine},
    .prepare = prepare,
};

}  // namespace chaos
