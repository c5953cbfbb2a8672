// What of the eBPF telemetry works on this kernel, found out by attaching it for a moment. Worker thread; some 200 ms.
#pragma once

#include <vector>

#include "kernel/features.h"

namespace chaos {

[[nodiscard]] std::vector<Feature> probe_watches();

}  // namespace chaos
