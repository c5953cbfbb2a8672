// Plan: a scenario resolved against this host. Immutable once made; says all that would be touched. Values only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel/interfaces.h"
#include "kernel/netns.h"
#include "plan/blast_radius.h"
#include "plan/kind_spec.h"
#include "plan/parameters.h"
#include "plan/scenario.h"
#include "plan/target.h"

namespace chaos {

struct PlannedInterface {
  Interface interface;
  bool egress = false;
  bool ingress = false;
  bool host_default_route = false;  ///< carries a default route of the initial namespace
};

struct Plan {
  const KindSpec* kind = nullptr;
  ScenarioRequest request;  ///< with duration and seed filled in
  Parameters parameters;    ///< effective, canonical
  NetFilter filter;
  std::vector<PlannedInterface> interfaces;
  /// Open until the plan is dropped; a running fault must not keep it.
  std::shared_ptr<const Netns> netns;
  int severity = 5;                           ///< what limits on severity are held against
  Population population;                      ///< what the blast radius counts, as of now
  Footprint footprint;                        ///< what of it this plan touches
  std::vector<std::string> protected_things;  ///< that it would touch: "unit sshd.service"
  PlanSummary summary;
  std::vector<std::string> warnings;
};

}  // namespace chaos
