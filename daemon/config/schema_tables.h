// The parts of the schema, one table a file. Internal to config/.
#pragma once

#include <span>
#include <vector>

#include "config/schema.h"

namespace chaos::config_detail {

[[nodiscard]] std::vector<std::span<const KeySpec>> chaos_keys();    ///< chaos_testing, monitoring, recovery
[[nodiscard]] std::vector<std::span<const KeySpec>> service_keys();  ///< services, protect
[[nodiscard]] std::vector<std::span<const KeySpec>> daemon_keys();   ///< api, log, store, metrics, telemetry, webhooks

}  // namespace chaos::config_detail
