#include "fault/registry.h"

#include <array>
#include <string>

#include "fault/bandwidth_limit.h"
#include "fault/component_failure.h"
#include "fault/latency_injection.h"
#include "fault/network_partition.h"
#include "fault/packet_changes.h"
#include "fault/packet_loss.h"
#include "fault/resource_exhaustion.h"
#include "fault/syscall_failure.h"
#include "fault/syscall_latency.h"

namespace chaos {
namespace {

constexpr std::array<const FaultKind*, 10> kKinds{
    &kPacketLoss,     &kLatencyInjection, &kNetworkPartition,   &kPacketDuplication, &kPacketCorruption,
    &kBandwidthLimit, &kComponentFailure, &kResourceExhaustion, &kSyscallFailure,    &kSyscallLatency,
};

}  // namespace

std::span<const FaultKind* const> fault_kinds() { return kKinds; }

Result<const FaultKind*> find_kind(std::string_view name) {
  std::string known;
  for (const FaultKind* kind : kKinds) {
    if (kind->spec.name == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind->spec.name);
  }
  return fail(Errc::kInvalid, "unknown kind '" + std::string(name) + "'", "kind", "a kind that this version has",
              "known: " + known);
}

}  // namespace chaos
