// Bad requests, generated per field from what the daemon itself publishes: the schema of a request body in
// /openapi.json, and the kinds with their parameters. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace chaos::test {

struct BadRequest {
  std::string what;     ///< for messages: "severity below minimum"
  nlohmann::json body;  ///< a good one but for one thing
  int status;           ///< that it must get
  std::string field;    ///< that the problem document must name; empty: none
};

/// Per property of `schema`: missing, each wrong type, below and above the limits, not in the list; and an unknown one.
[[nodiscard]] std::vector<BadRequest> bad_by_schema(const nlohmann::json& schema, const nlohmann::json& good);

/// Per parameter of `kind` (an element of GET /api/chaos/kinds) and of `common`: missing, wrong types, garbage, below,
/// above, not a choice, too long; and an unknown one.
[[nodiscard]] std::vector<BadRequest> bad_parameters(const nlohmann::json& kind, const nlohmann::json& common,
                                                     const nlohmann::json& good);

/// Per target key of `kind`: wrong types, empty, too many, no value of that key, vanished; unknown keys, no primary
/// target, two of them, one that this version does not support. `good` aims at a namespace.
[[nodiscard]] std::vector<BadRequest> bad_targets(const nlohmann::json& kind, const nlohmann::json& good);

/// Arguments of `chaosctl start` that say the same, quoted for a shell; empty if a command line cannot.
[[nodiscard]] std::optional<std::string> as_arguments(const nlohmann::json& body);

}  // namespace chaos::test
