// The request half of the schema: strict reading of what users write.
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "api/schema.h"
#include "base/units.h"

namespace chaos {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxValue = 4096;
constexpr std::size_t kMaxReason = 1024;
constexpr std::size_t kMaxValues = 256;
constexpr double kMaxSeconds = 1e9;

constexpr std::array<std::string_view, 10> kRequestFields = {
    "kind", "target", "parameters", "severity", "duration",
    "seed", "reason", "mode",       "validate", "confirm_default_route",
};

std::unexpected<Error> wrong_type(std::string_view field, std::string_view wanted, const json& got) {
  std::string name(field);
  return fail(Errc::kInvalid, name + " is a " + got.type_name() + ", not " + std::string(wanted), name,
              std::string(wanted));
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (const auto name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

/// A scalar as the user would write it: `0.1` and "0.1" are the same.
Result<std::string> scalar_text(const json& value, std::string_view field) {
  if (value.is_string()) return text_from_json(value, field, kMaxValue);
  if (value.is_number()) return value.dump();
  return wrong_type(field, "a string or a number", value);
}

Status read_target(const json& value, ScenarioRequest& request) {
  if (!value.is_object()) return wrong_type("target", "an object", value);
  for (const auto& [key, given] : value.items()) {
    if (!is_target_key(key)) {
      return fail(Errc::kInvalid, "unknown target key \"" + key + "\"", "target." + key, "a target key",
                  "such as interface, netns, peer, port, protocol, direction");
    }
    const std::string field = "target." + key;
    auto& values = request.target[key];
    const json list = given.is_array() ? given : json::array({given});
    if (list.empty() || list.size() > kMaxValues) {
      return fail(Errc::kInvalid, field + " has " + std::to_string(list.size()) + " values", field,
                  "1 to " + std::to_string(kMaxValues) + " values");
    }
    for (const auto& element : list) {
      auto text = scalar_text(element, field);
      if (!text) return std::unexpected(std::move(text.error()));
      if (text->empty()) return fail(Errc::kInvalid, field + " is empty", field, "not empty");
      values.push_back(std::move(*text));
    }
  }
  if (request.target.empty()) {
    return fail(Errc::kInvalid, "target names nothing", "target", "exactly one primary target",
                "for example {\"interface\": \"eth0\"}");
  }
  return {};
}

Status read_parameters(const json& value, ScenarioRequest& request) {
  if (!value.is_object()) return wrong_type("parameters", "an object", value);
  if (value.size() > kMaxValues) {
    return fail(Errc::kInvalid, "too many parameters", "parameters", "max " + std::to_string(kMaxValues));
  }
  for (const auto& [name, given] : value.items()) {
    if (name.empty() || name.size() > kMaxName) {
      return fail(Errc::kInvalid, "the name of a parameter has " + std::to_string(name.size()) + " bytes", "parameters",
                  "1 to " + std::to_string(kMaxName) + " bytes");
    }
    auto text = scalar_text(given, "parameters." + name);
    if (!text) return std::unexpected(std::move(text.error()));
    request.parameters[name] = std::move(*text);
  }
  return {};
}

Status read_severity(const json& value, ScenarioRequest& request) {
  constexpr std::string_view kRule = "an integer from 1 to 5";
  if (!value.is_number_integer()) return wrong_type("severity", kRule, value);
  // As unsigned, a huge value would wrap in get<int>().
  const auto severity = value.get<double>();
  if (severity < 1 || severity > 5) {
    return fail(Errc::kInvalid, "severity " + value.dump() + " does not exist", "severity", std::string(kRule));
  }
  request.severity = value.get<int>();
  return {};
}

Status read_duration(const json& value, ScenarioRequest& request) {
  constexpr std::string_view kRule = "a duration above 0, such as \"30s\", or a number of seconds";
  if (value.is_string()) {
    const auto text = text_from_json(value, "duration", kMaxName);
    if (!text) return std::unexpected(text.error());
    auto parsed = parse_duration(*text);
    if (!parsed) {
      parsed.error().field = "duration";
      if (parsed.error().rule.empty()) parsed.error().rule = kRule;
      return std::unexpected(std::move(parsed.error()));
    }
    request.duration = *parsed;
  } else if (value.is_number()) {
    const auto seconds = value.get<double>();
    if (!(seconds >= 0 && seconds <= kMaxSeconds)) {
      return fail(Errc::kInvalid, "duration is " + value.dump() + " s", "duration", std::string(kRule));
    }
    request.duration = std::chrono::nanoseconds(std::llround(seconds * 1e9));
  } else {
    return wrong_type("duration", kRule, value);
  }
  if (request.duration->count() > 0) return {};
  return fail(Errc::kInvalid, "duration is 0", "duration", std::string(kRule));
}

Status read_seed(const json& value, ScenarioRequest& request) {
  // A JSON number would lose digits above 2^53 in many clients.
  constexpr std::string_view kRule = "a decimal string below 2^64";
  if (!value.is_string()) return wrong_type("seed", kRule, value);
  const auto text = text_from_json(value, "seed", kMaxName);
  if (!text) return std::unexpected(text.error());
  const auto seed = parse_unsigned(*text);
  if (!seed) return fail(Errc::kInvalid, "\"" + *text + "\" is no seed", "seed", std::string(kRule));
  request.seed = *seed;
  return {};
}

Status read_mode(const json& value, ScenarioRequest& request) {
  constexpr std::string_view kRule = "armed or shadow";
  if (value == "armed") {
    request.mode = Mode::kArmed;
  } else if (value == "shadow") {
    request.mode = Mode::kShadow;
  } else if (value.is_string()) {
    return fail(Errc::kInvalid, "unknown mode " + value.dump(), "mode", std::string(kRule));
  } else {
    return wrong_type("mode", kRule, value);
  }
  return {};
}

Status read_bool(const json& value, std::string_view field, bool& to) {
  if (!value.is_boolean()) return wrong_type(field, "true or false", value);
  to = value.get<bool>();
  return {};
}

Status read_text(const json& value, std::string_view field, std::size_t max, std::string& to) {
  auto text = text_from_json(value, field, max);
  if (!text) return std::unexpected(std::move(text.error()));
  to = std::move(*text);
  return {};
}

Status read_field(const std::string& name, const json& value, ScenarioRequest& request) {
  if (name == "kind") return read_text(value, name, kMaxName, request.kind);
  if (name == "target") return read_target(value, request);
  if (name == "parameters") return read_parameters(value, request);
  if (name == "severity") return read_severity(value, request);
  if (name == "duration") return read_duration(value, request);
  if (name == "seed") return read_seed(value, request);
  if (name == "reason") return read_text(value, name, kMaxReason, request.reason);
  if (name == "mode") return read_mode(value, request);
  if (name == "validate") return read_bool(value, name, request.validate);
  return read_bool(value, name, request.confirm_default_route);
}

}  // namespace

Result<json> parse_json(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    too_deep = too_deep || depth > kMaxDepth;
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      repeated = value.get<std::string>();
    }
    return true;
  };
  try {
    json parsed = json::parse(text, watch);
    if (too_deep) return fail(Errc::kInvalid, "the JSON is nested too deeply", {}, "max depth 16");
    if (!repeated.empty()) {
      return fail(Errc::kInvalid, "the JSON has \"" + repeated + "\" twice", repeated, "each key once",
                  "write a list where several values are meant");
    }
    return parsed;
  } catch (const json::exception& e) {
    return fail(Errc::kInvalid, std::string("the body is no JSON document: ") + e.what(), {}, "JSON (RFC 8259)");
  }
}

Status check_object(const json& value, std::span<const std::string_view> allowed) {
  if (!value.is_object()) return wrong_type("body", "an object", value);
  for (const auto& [name, unused] : value.items()) {
    if (std::ranges::find(allowed, name) != allowed.end()) continue;
    return fail(Errc::kInvalid, "unknown field \"" + name + "\"", name, "one of " + joined(allowed));
  }
  return {};
}

Result<std::string> text_from_json(const json& value, std::string_view field, std::size_t max_bytes) {
  if (!value.is_string()) return wrong_type(field, "a string", value);
  auto text = value.get<std::string>();
  const std::string name(field);
  if (text.size() > max_bytes) {
    return fail(Errc::kInvalid, name + " has " + std::to_string(text.size()) + " bytes", name,
                "max " + std::to_string(max_bytes) + " bytes");
  }
  if (std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return fail(Errc::kInvalid, name + " has control characters", name, "no control characters");
  }
  return text;
}

Result<ScenarioRequest> scenario_request_from_json(const json& value) {
  if (auto status = check_object(value, kRequestFields); !status) return std::unexpected(std::move(status.error()));
  for (const char* required : {"kind", "target"}) {
    if (value.contains(required)) continue;
    return fail(Errc::kInvalid, std::string(required) + " is missing", required, "required");
  }
  ScenarioRequest request;
  for (const auto& [name, field] : value.items()) {
    if (auto status = read_field(name, field, request); !status) return std::unexpected(std::move(status.error()));
  }
  if (request.kind.empty()) return fail(Errc::kInvalid, "kind is empty", "kind", "required");
  return request;
}

}  // namespace chaos
