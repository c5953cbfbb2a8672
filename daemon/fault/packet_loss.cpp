#include "fault/packet_loss.h"

#include <fmt/format.h>

#include <array>

#include "fault/loss_model.h"
#include "fault/packet_fault.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 1> kFeatures{"tc"};

std::map<std::string, std::string> achieved(const Counters& counters) {
  const std::uint64_t decided = counters.injected + counters.not_sampled;
  if (decided == 0) return {};
  const double share = static_cast<double>(counters.injected) / static_cast<double>(decided);
  return {{"probability", fmt::format("{:.4g}%", 100.0 * share)}};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  auto fault = loss_fault(plan.parameters);
  if (!fault) return std::unexpected(fault.error());
  fault->seed = *plan.request.seed;
  return PacketFault::prepare(mechanisms.packets, plan, *fault, achieved);
}

}  // namespace

// Its parameters are constinit, which their declaration does not show.
// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kPacketLoss{
    .spec = {.name = "packet_loss",
             .help = "lose packets as a network would: silently, in both directions, decided in the kernel",
             .parameters = kLossParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures},
    .prepare = prepare,
};

}  // namespace chaos
