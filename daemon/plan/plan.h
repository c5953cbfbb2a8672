// Plan: a scenario resolved against this host. Immutable once made; says all that would be touched. Values only.
#pragma once

#include <string>
#include <vector>

#include "plan/blast_radius.h"
#include "plan/kind_spec.h"
#include "plan/parameters.h"
#include "plan/reach.h"
#include "plan/scenario.h"
#include "plan/target.h"

namespace chaos {

struct Plan {
  const KindSpec* kind = nullptr;
  ScenarioRequest request;  ///< with duration and seed filled in
  Parameters parameters;    ///< effective, canonical
  NetFilter filter;
  Reach reach;
  Ownership ownership = Ownership::kFileDescriptor;  ///< the kind's, unless it says otherwise of this plan
  std::string mechanism;                             ///< of a kind that acts on processes, by its own word
  int severity = 5;                                  ///< what limits on severity are held against
  Population population;                             ///< what the blast radius counts, as of now
  Footprint footprint;                               ///< what of it this plan touches
  std::vector<std::string> protected_things;         ///< that it would touch: "unit sshd.service"
  PlanSummary summary;
  std::vector<std::string> warnings;
};

}  // namespace chaos
