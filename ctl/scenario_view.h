// How a scenario is shown to people: one line in a list, a page by itself, and the note after a start. Pure functions
// of the daemon's JSON (CONTRACT, "A scenario in JSON").
#pragma once

#include <chrono>
#include <vector>

#include "ctl/command.h"

namespace chaos::ctl {

/// completed, failed, aborted.
[[nodiscard]] bool is_final(const Json& scenario);
/// 0 for completed, 1 for failed and aborted.
[[nodiscard]] Exit verdict_of(const Json& scenario);
/// Green while it acts or is done, yellow in between, red when it failed.
[[nodiscard]] Colour state_colour(std::string_view state);
/// "active", "completed (expired)".
[[nodiscard]] std::string state_text(const Json& scenario);

/// Names the sums of CONTRACT's counters that do not close: "evaluated 7 != unmatched 1 + matched 5".
[[nodiscard]] std::vector<std::string> open_sums(const Json& counters);

void print_list(const Context& context, const Json& scenarios, WallTime now);
void print_scenario(const Context& context, const Json& scenario, WallTime now);
/// What a plan or a start touches: interfaces, peers, effective parameters, mechanism, notes, warnings.
void print_touched(const Context& context, const Json& scenario);

}  // namespace chaos::ctl
