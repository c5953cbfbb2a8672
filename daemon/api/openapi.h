// OpenAPI: the document of GET /openapi.json, generated from the route table and the component schemas. Pure.
#pragma once

#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/router.h"

namespace chaos {

/// OpenAPI 3.1; every operation also carries `x-chaos-role`.
[[nodiscard]] nlohmann::json openapi_document(const std::vector<Route>& routes, std::string_view version);
/// JSON schemas by name, `#/components/schemas/NAME` in references.
[[nodiscard]] const nlohmann::json& component_schemas();
/// Those of a scenario among them, and those of eBPF telemetry, as text.
[[nodiscard]] std::string_view scenario_schemas();
[[nodiscard]] std::string_view watch_schemas();

}  // namespace chaos
