// Plans made by hand, for tests of what safety does with them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"

namespace chaos::test {

inline constexpr std::string_view kProbabilitySteps[]{"1%", "5%", "10%", "30%", "100%"};
inline constexpr ParamSpec kLossParameters[]{
    {.name = "probability", .type = ParamType::kProbability, .help = "", .severity_steps = kProbabilitySteps}};
inline constexpr KindSpec kLossSpec{.name = "packet_loss",
                                    .help = "",
                                    .parameters = kLossParameters,
                                    .ownership = Ownership::kFileDescriptor,
                                    .targets = {},
                                    .features = {}};

/// Services s0, s1, ... of weight 1.
[[nodiscard]] inline Population services(unsigned count) {
  Population population{.of = "configured services", .members = {}};
  for (unsigned i = 0; i < count; ++i) population.members.push_back({"service s" + std::to_string(i), 1.0, {}});
  return population;
}

/// packet_loss of 10% for a minute on service s0 of ten.
[[nodiscard]] inline Plan loss_plan() {
  Plan plan;
  plan.kind = &kLossSpec;
  plan.request.kind = kLossSpec.name;
  plan.request.duration = std::chrono::seconds(60);
  plan.parameters = {{"probability", "10%"}};
  plan.severity = 3;
  plan.population = services(10);
  plan.footprint.members = {plan.population.members[0]};
  return plan;
}

[[nodiscard]] inline Plan with_severity(Plan plan, int severity) {
  plan.request.severity = severity;
  plan.severity = severity;
  return plan;
}

[[nodiscard]] inline Plan touching(Plan plan, std::vector<unsigned> members) {
  plan.footprint.members.clear();
  for (const unsigned i : members) plan.footprint.members.push_back({"service s" + std::to_string(i), 1.0, {}});
  return plan;
}

}  // namespace chaos::test
