// Problem: an Error as an RFC 9457 document. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "api/http.h"
#include "base/result.h"

namespace chaos {

struct Problem {
  int status = 500;
  std::string name;   ///< "not-found"; the type is "urn:chaosd:problem:" + name
  std::string title;  ///< the same for every problem of this type
  Error error;        ///< message is the detail; field, rule and hint are left out where empty
};

[[nodiscard]] Problem problem_of(Error error);
[[nodiscard]] nlohmann::json to_json(const Problem& problem, std::string_view request_id);
/// application/problem+json
[[nodiscard]] HttpResponse problem_response(const Problem& problem, std::string_view request_id);
[[nodiscard]] HttpResponse problem_response(Error error, std::string_view request_id);
/// application/json
[[nodiscard]] HttpResponse json_response(int status, const nlohmann::json& body);
/// UTF-8 whatever the strings hold: bytes that are not become U+FFFD.
[[nodiscard]] std::string dump_json(const nlohmann::json& value, int indent = -1);

}  // namespace chaos
