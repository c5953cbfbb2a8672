// Schema: the JSON of the API, shared by chaosd and chaosctl. Names are CONTRACT's. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "plan/kind_spec.h"
#include "plan/scenario.h"

namespace chaos {

/// Parses one JSON document. Stricter than JSON: a repeated key and nesting deeper than 16 are kInvalid, because
/// whoever wrote them meant something else than the parser would take.
[[nodiscard]] Result<nlohmann::json> parse_json(std::string_view text);

/// What POST /api/chaos/scenarios takes. Unknown and ill-typed fields are kInvalid with field and rule; what a kind
/// makes of its parameters is checked by the planner.
[[nodiscard]] Result<ScenarioRequest> scenario_request_from_json(const nlohmann::json& json);
[[nodiscard]] nlohmann::json to_json(const ScenarioRequest& request);

/// What GET prints: request fields as asked, then what became of it. Absent values are left out.
[[nodiscard]] nlohmann::json to_json(const Scenario& scenario);
[[nodiscard]] nlohmann::json to_json(const Counters& counters);
[[nodiscard]] nlohmann::json to_json(const Caller& caller);
[[nodiscard]] nlohmann::json to_json(const PlanSummary& plan);

[[nodiscard]] nlohmann::json to_json(const ParamSpec& parameter);
/// `policy`: what the configuration says about it, as Backend::kind_policy. Its severity scales go before the kind's
/// own: what is shown is what takes effect.
[[nodiscard]] nlohmann::json to_json(const KindSpec& kind, nlohmann::json policy);
/// Parameters that all kinds take: max_events and seed.
[[nodiscard]] nlohmann::json common_parameters_json();

/// Helpers for small request bodies: `json` must be an object with no other keys than `allowed`.
[[nodiscard]] Status check_object(const nlohmann::json& json, std::span<const std::string_view> allowed);
/// A string without control characters, `max_bytes` long at most; `field` names it in errors.
[[nodiscard]] Result<std::string> text_from_json(const nlohmann::json& json, std::string_view field,
                                                 std::size_t max_bytes);

}  // namespace chaos
