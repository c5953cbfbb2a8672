#include "fault/packet_changes.h"

#include <array>

#include "fault/held_packets.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 5> kSteps{"0.1%", "1%", "5%", "10%", "50%"};
constexpr std::array<std::string_view, 1> kFeatures{"tc"};

constexpr std::array kDuplication{
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of matching packets that arrive twice",
              .minimum = "0%",
              .maximum = "100%",
              .severity_steps = kSteps},
};
constexpr std::array kCorruption{
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of matching packets that arrive with one bit flipped, behind a checksum that is right for "
                      "what they were",
              .minimum = "0%",
              .maximum = "100%",
              .severity_steps = kSteps},
};

std::map<std::string, std::string> figures(const Counters& counters, const LineFault& line) {
  return {{"probability", share_of(counters)}, {"extra_delay", describe(line.tally.late)}};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms, bool corrupt) {
  const auto probability = get_probability(admitted.plan().parameters, "probability");
  if (!probability) return std::unexpected(probability.error());
  auto hold = std::make_shared<LineFault>();
  hold->duplicate = !corrupt;
  hold->corrupt = corrupt;
  chaos_fault fault{};
  fault.threshold = probability->threshold32();
  return prepare_held(admitted, mechanisms, fault, std::move(hold), figures);
}

Result<std::unique_ptr<Fault>> prepare_duplication(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  return prepare(admitted, mechanisms, false);
}

Result<std::unique_ptr<Fault>> prepare_corruption(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  return prepare(admitted, mechanisms, true);
}

Status refine_corruption(Plan& plan) {
  plan.reach.notes.emplace_back(
      "what one skb was cut into (GSO) is corrupted in its first packet; while it runs, segmentation and checksums of "
      "held packets are done by the host");
  return refine_held(plan);
}

}  // namespace

const FaultKind kPacketDuplication{
    .spec = {.name = "packet_duplication",
             .help = "let packets arrive twice",
             .parameters = kDuplication,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures,
             .holds_packets = true,
             .refine = refine_held},
    .prepare = prepare_duplication,
};

const FaultKind kPacketCorruption{
    .spec = {.name = "packet_corruption",
             .help = "flip a bit of packets, so that the receiver's checksum does not fit",
             .parameters = kCorruption,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures,
             .holds_packets = true,
             .refine = refine_corruption},
    .prepare = prepare_corruption,
};

}  // namespace chaos
