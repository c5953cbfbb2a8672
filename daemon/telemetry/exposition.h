// Exposition: the registry's current round as Prometheus reads it. One writer for both formats: values are exact
// decimal text of whole numbers, which prometheus-cpp's doubles are not, and it writes no OpenMetrics.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

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

/// As expose(), of always the same registry: all that does not change is kept while the same series are there. One
/// thread.
class Exposition {
 public:
  [[nodiscard]] std::string text(const Registry& registry, ExpositionFormat format);

 private:
  struct Line {
    Registry::Id id;
    std::string begin;  ///< up to the value, with the metric's head before its first
  };
  struct Page {
    std::uint64_t composition = 0;
    std::vector<Registry::Id> present;
    std::vector<Line> lines;
    std::size_t size = 0;  ///< of the last text
  };
  static void arrange(Page& page, const Registry& registry, ExpositionFormat format);

  std::array<Page, 2> pages_;  ///< by format
};

}  // namespace chaos
