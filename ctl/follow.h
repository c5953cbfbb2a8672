// Waiting for the end of a scenario: by the event stream, with plain reads where there is none.
#pragma once

#include <functional>
#include <string>

#include "ctl/client.h"
#include "ctl/interrupt.h"

namespace chaos::ctl {

struct Followed {
  Json scenario;  ///< the newest record seen; final unless interrupted
  bool interrupted = false;
};

/// Returns when `scenario` has ended or `interrupt` came; it never ends the scenario itself. `on_change` gets each
/// record whose state differs from the one before. Error: the daemon is gone or does not know the scenario any more.
Outcome<Followed> follow_scenario(Client& client, Json scenario, const Interrupt& interrupt,
                                  const std::function<void(const Json&)>& on_change);

}  // namespace chaos::ctl
