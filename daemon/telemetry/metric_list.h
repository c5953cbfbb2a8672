// The newest values of all series as GET /api/monitoring/metrics has them. Pure function; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "telemetry/registry.h"

namespace chaos {

/// {"time":..., "metrics":[{name,type,unit,help,labels,value,time}]} of what is present and matches
/// (matches_pattern()), by name and labels. `time`: of the round; a series that was measured before has the time of
/// that.
[[nodiscard]] std::string metric_list(const Registry& registry, WallTime time, std::string_view pattern);

}  // namespace chaos
