// What the kinds have in common that hold packets in a delay line: where that can be done, and what they report.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "fault/kind.h"
#include "fault/packet_engine.h"
#include "line/line_fault.h"
#include "plan/plan.h"

namespace chaos {

/// Narrows a plan to the interfaces that packets can be held at, with a note for each that is left out. Errors:
/// kInvalid or kUnsupported with the field, where nothing would be left or what is asked for cannot be done.
[[nodiscard]] Status refine_held(Plan& plan);

/// Makes the fault of a plan that `fault` decides and `hold` describes. `more`: figures of the kind's own.
using HeldFigures = std::map<std::string, std::string> (*)(const Counters& counters, const LineFault& line);
[[nodiscard]] Result<std::unique_ptr<Fault>> prepare_held(const AdmittedPlan& plan, const Mechanisms& mechanisms,
                                                          chaos_fault fault, std::shared_ptr<LineFault> hold,
                                                          HeldFigures figures);

/// "p50 10.2ms, p99 10.4ms, max 12ms"; empty if nothing was added.
[[nodiscard]] std::string describe(const Histogram& histogram);
/// Share of those decided that were hit: "9.98%"; empty if none were.
[[nodiscard]] std::string share_of(const Counters& counters);

}  // namespace chaos
