#include "fault/bandwidth_limit.h"

#include <fmt/format.h>

#include <array>

#include "fault/held_packets.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 5> kRateSteps{"1gbit", "100mbit", "10mbit", "1mbit", "100kbit"};
constexpr std::array<std::string_view, 1> kFeatures{"tc"};

constexpr std::array kParameters{
    ParamSpec{.name = "rate",
              .type = ParamType::kBitRate,
              .help = "of frames from the Ethernet header on, each direction by itself",
              .minimum = "1kbit",
              .maximum = "100gbit",
              .severity_steps = kRateSteps},
    ParamSpec{.name = "burst",
              .type = ParamType::kBytes,
              .help = "what may pass at once after a rest",
              .minimum = "0",
              .maximum = "64MiB",
              .default_value = "4KiB"},
    ParamSpec{.name = "queue",
              .type = ParamType::kBytes,
              .help = "what waits for the link; more is dropped",
              .minimum = "1KiB",
              .maximum = "128MiB",
              .default_value = "1MiB"},
};

std::map<std::string, std::string> figures(const Counters& /*counters*/, const LineFault& line) {
  std::map<std::string, std::string> all{{"queueing_delay", describe(line.tally.achieved)}};
  if (const std::uint64_t full = line.tally.queue_full.load(); full > 0) all["queue_drops"] = std::to_string(full);
  return all;
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Parameters& parameters = admitted.plan().parameters;
  const auto rate = get_bit_rate(parameters, "rate");
  const auto burst = get_bytes(parameters, "burst");
  const auto queue = get_bytes(parameters, "queue");
  if (!rate) return std::unexpected(rate.error());
  if (!burst) return std::unexpected(burst.error());
  if (!queue) return std::unexpected(queue.error());
  auto hold = std::make_shared<LineFault>();
  hold->rate = RateShape{.bits_per_second = *rate, .burst_bytes = *burst, .queue_bytes = *queue};
  chaos_fault fault{};
  fault.threshold = 1ULL << 32;
  return prepare_held(admitted, mechanisms, fault, std::move(hold), figures);
}

}  // namespace

const FaultKind kBandwidthLimit{
    .spec = {.name = "bandwidth_limit",
             .help = "let no more through than a link of some rate would, each direction by itself",
             .parameters = kParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures,
             .holds_packets = true,
             .refine = refine_held},
    .prepare = prepare,
};

}  // namespace chaos
