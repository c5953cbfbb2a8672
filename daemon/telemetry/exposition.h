// Exposition: the registry's current round as Prometheus reads it. One writer for both formats: values are exact
// decimal text of whole numbers, which prometheus-cpp's doubles are not, and it writes no OpenMetrics. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "telemetry/registry.h"

namespace chaos {

enum class ExpositionFormat : std::uint8_t {
  kText,         ///< text/plain; version=0.0.4
  kOpenMetrics,  ///< application/openmetrics-text; version=1.0.0
};

[[nodiscard]] std::string_view content_type(ExpositionFormat format);
/// What an Accept header (RFC 9110, 12.5.1) asks for; text where OpenMetrics is not wanted more.
[[nodiscard]] ExpositionFormat negotiate(std::string_view accept);
[[nodiscard]] std::string expose(const Registry& registry, ExpositionFormat format);

}  // namespace chaos
