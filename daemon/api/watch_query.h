// WatchQuery: a request for eBPF telemetry as it comes in. Values only.
#pragma once

#include <chrono>
#include <optional>

#include "api/http.h"
#include "base/result.h"
#include "telemetry/watches.h"

namespace chaos {

struct WatchQuery {
  WatchAsk ask;
  std::chrono::milliseconds duration{};               ///< how long it is watched
  std::optional<std::chrono::milliseconds> interval;  ///< an event so often, and not one document at the end
  std::optional<std::chrono::milliseconds> lease;     ///< an answer at once; stays attached for so long
};

/// Parameters target, duration, interval, lease. Error: kInvalid with the field.
[[nodiscard]] Result<WatchQuery> watch_query(WatchKind kind, const HttpRequest& request);

}  // namespace chaos
