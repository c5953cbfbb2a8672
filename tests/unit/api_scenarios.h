// Values of the API's data types with every field filled, for tests.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "plan/kind_spec.h"
#include "plan/scenario.h"

namespace chaos::test {

inline Scenario full_scenario() {
  const WallTime created{std::chrono::milliseconds(1795502077123)};
  Scenario scenario;
  scenario.id = "01HZX3Q4V5W6X7Y8Z9A0B1C2D3";
  scenario.request.kind = "packet_loss";
  scenario.request.target = {{"interface", {"eth0"}}, {"peer", {"10.0.0.1", "10.0.0.2"}}};
  scenario.request.parameters = {{"probability", "10%"}};
  scenario.request.severity = 3;
  scenario.request.duration = std::chrono::minutes(5);
  scenario.request.seed = UINT64_MAX;
  scenario.request.reason = "test";
  scenario.owner = {.uid = 0, .gid = 0, .pid = 1, .login_uid = 1000, .user = "root", .comm = "curl"};
  scenario.plan.ownership = "file_descriptor";
  scenario.plan.interfaces = {"eth0 (ifindex 2)"};
  scenario.state = State::kFailed;
  scenario.end_reason = EndReason::kLapsed;
  scenario.created_at = created;
  scenario.started_at = created + std::chrono::milliseconds(10);
  scenario.ends_at = created + std::chrono::minutes(5);
  scenario.ended_at = WallTime(std::chrono::milliseconds(1795502080000));
  scenario.queue_position = 1;
  scenario.expected_start_at = scenario.created_at;
  scenario.achieved = {{"probability", "9.98%"}};
  scenario.counters.injected = 4;
  scenario.warnings = {"lo counts each packet once"};
  scenario.error = "the lease ran out";
  return scenario;
}

inline const KindSpec& full_kind() {
  static constexpr std::array<std::string_view, 3> kSteps = {"1%", "10%", "50%"};
  static constexpr std::array<std::string_view, 1> kChoices = {"none"};
  static constexpr std::array<std::string_view, 1> kFeatures = {"tcx"};
  static constexpr std::array<ParamSpec, 1> kParameters = {ParamSpec{.name = "probability",
                                                                     .type = ParamType::kProbability,
                                                                     .help = "share of packets",
                                                                     .minimum = "0%",
                                                                     .maximum = "100%",
                                                                     .default_value = "10%",
                                                                     .choices = kChoices,
                                                                     .severity_steps = kSteps,
                                                                     .when = {"mode", kChoices},
                                                                     .or_when = {"mode", kChoices},
                                                                     .preset_when = {"mode", kChoices},
                                                                     .required = true,
                                                                     .required_when = {"mode", kChoices}}};
  static constexpr KindSpec kKind{.name = "packet_loss",
                                  .help = "loses packets",
                                  .parameters = kParameters,
                                  .ownership = Ownership::kFileDescriptor,
                                  .targets = {.interface = true, .netns = true, .filters = true},
                                  .features = kFeatures};
  return kKind;
}

}  // namespace chaos::test
