#include "api/schema.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "api/openapi.h"
#include "api_scenarios.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

json minimal() { return {{"kind", "packet_loss"}, {"target", {{"interface", "eth0"}}}}; }

TEST(RequestSchema, ReadsEverything) {
  const auto request = scenario_request_from_json(json::parse(R"({
    "kind": "packet_loss",
    "target": {"interface": "eth0", "peer": ["10.0.0.0/8", "fd00::/8"], "port": 80, "local-port": [1, "2"]},
    "parameters": {"probability": 0.1, "max_events": 1000, "model": "random"},
    "severity": 3, "duration": "1500ms", "seed": "18446744073709551615", "reason": "game day",
    "mode": "shadow", "validate": true, "confirm_default_route": true})"));
  ASSERT_TRUE(request.has_value()) << request.error().message;
  EXPECT_EQ(request->kind, "packet_loss");
  EXPECT_EQ(request->target, (TargetKeys{{"interface", {"eth0"}},
                                         {"peer", {"10.0.0.0/8", "fd00::/8"}},
                                         {"port", {"80"}},
                                         {"local-port", {"1", "2"}}}));
  EXPECT_EQ(request->parameters,
            (std::map<std::string, std::string>{{"probability", "0.1"}, {"max_events", "1000"}, {"model", "random"}}));
  EXPECT_EQ(request->severity, 3);
  EXPECT_EQ(request->duration, 1500ms);
  EXPECT_EQ(request->seed, UINT64_MAX);
  EXPECT_EQ(request->reason, "game day");
  EXPECT_EQ(request->mode, Mode::kShadow);
  EXPECT_TRUE(request->validate);
  EXPECT_TRUE(request->confirm_default_route);
}

TEST(RequestSchema, DefaultsAreHarmless) {
  const auto request = scenario_request_from_json(minimal());
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->severity, std::nullopt);
  EXPECT_EQ(request->duration, std::nullopt);
  EXPECT_EQ(request->seed, std::nullopt);
  EXPECT_EQ(request->mode, Mode::kArmed);
  EXPECT_FALSE(request->validate);
  EXPECT_FALSE(request->confirm_default_route);
}

TEST(RequestSchema, DurationMayBeSeconds) {
  const auto duration = [](const json& value) {
    json body = minimal();
    body["duration"] = value;
    return scenario_request_from_json(body)->duration;
  };
  EXPECT_EQ(duration(30), 30s);
  EXPECT_EQ(duration(0.25), 250ms);
  EXPECT_EQ(duration("30"), 30s);
  EXPECT_EQ(duration("2m"), 120s);
}

struct BadField {
  std::string name;  ///< of the case
  std::string field;
  json body;
};

json with(const std::string& field, json value) {
  json body = minimal();
  body[field] = std::move(value);
  return body;
}

json without(const std::string& field) {
  json body = minimal();
  body.erase(field);
  return body;
}

/// For every property of the published schema: each JSON type that it does not list, null, and values outside its
/// limits.
std::vector<BadField> generated() {
  const std::array<json, 7> samples = {json(nullptr), json(true),         json(7),         json(7.5),
                                       json("text"),  json::array({"x"}), json{{"k", "v"}}};
  const auto kind_of = [](const json& value) -> std::string {
    if (value.is_number_integer()) return "integer";
    return value.is_number() ? "number" : value.type_name();
  };
  std::vector<BadField> cases;
  const json& schema = component_schemas().at("ScenarioRequest");
  for (const auto& [name, property] : schema.at("properties").items()) {
    const json types = property.at("type").is_array() ? property.at("type") : json::array({property.at("type")});
    std::set<std::string> allowed(types.begin(), types.end());
    if (allowed.contains("number")) allowed.insert("integer");
    for (const json& sample : samples) {
      if (!allowed.contains(kind_of(sample))) cases.push_back({"wrong type", name, with(name, sample)});
    }
    if (property.contains("minimum")) {
      cases.push_back({"below", name, with(name, property["minimum"].get<int>() - 1)});
    }
    if (property.contains("exclusiveMinimum")) {
      cases.push_back({"not above", name, with(name, property["exclusiveMinimum"])});
      cases.push_back({"negative", name, with(name, -1)});
    }
    if (property.contains("maximum")) {
      cases.push_back({"above", name, with(name, property["maximum"].get<std::int64_t>() + 1)});
      cases.push_back({"far above", name, with(name, UINT64_MAX)});
    }
    if (property.contains("maxLength")) {
      const std::string long_text(property["maxLength"].get<std::size_t>() + 1, 'x');
      cases.push_back({"too long", name, with(name, long_text)});
    }
    if (property.contains("enum")) cases.push_back({"not one of", name, with(name, "other")});
    if (property.contains("pattern")) cases.push_back({"pattern", name, with(name, "12x")});
    if (allowed.contains("string")) {
      cases.push_back({"control character", name, with(name, std::string("a\0b", 3))});
    }
  }
  for (const auto& name : schema.at("required")) {
    const auto text = name.get<std::string>();
    cases.push_back({"missing", text, without(text)});
  }
  return cases;
}

void expect_refused(const std::string& name, const std::string& field, const json& body) {
  SCOPED_TRACE(name + ": " + body.dump().substr(0, 200));
  const auto request = scenario_request_from_json(body);
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().code, Errc::kInvalid);
  EXPECT_TRUE(request.error().field == field || request.error().field.starts_with(field + "."))
      << request.error().field;
  EXPECT_NE(request.error().rule, "");
  EXPECT_NE(request.error().message, "");
}

TEST(RequestSchema, RefusesBadValuesOfEveryField) {
  const auto cases = generated();
  EXPECT_GT(cases.size(), 60U);
  for (const auto& bad : cases) expect_refused(bad.name, bad.field, bad.body);
}

TEST(RequestSchema, RefusesWhatTheSchemaCannotSay) {
  const json huge(std::vector<std::string>(257, "10.0.0.1"));
  const std::vector<BadField> cases = {
      {"unknown", "durration", with("durration", "30s")},
      {"empty kind", "kind", with("kind", "")},
      {"empty target", "target", with("target", json::object())},
      {"unknown key", "target.iface", with("target", {{"iface", "eth0"}})},
      {"empty list", "target.peer", with("target", {{"peer", json::array()}})},
      {"long list", "target.peer", with("target", {{"peer", huge}})},
      {"empty value", "target.interface", with("target", {{"interface", ""}})},
      {"nul in value", "target.interface", with("target", {{"interface", std::string("eth0\0x", 6)}})},
      {"nested list", "target.peer", with("target", {{"peer", json::array({json::array({"10.0.0.1"})})}})},
      {"bool in list", "target.port", with("target", {{"port", json::array({80, true})}})},
      {"object value", "parameters.probability", with("parameters", {{"probability", {{"k", 1}}}})},
      {"list value", "parameters.probability", with("parameters", {{"probability", json::array({"10%"})}})},
      {"bool value", "parameters.probability", with("parameters", {{"probability", true}})},
      {"no name", "parameters", with("parameters", {{"", "10%"}})},
      {"long value", "parameters.x", with("parameters", {{"x", std::string(4097, 'x')}})},
      {"seed too big", "seed", with("seed", "18446744073709551616")},
      {"negative seed", "seed", with("seed", "-1")},
      {"empty seed", "seed", with("seed", "")},
      {"no duration", "duration", with("duration", "soon")},
      {"zero duration", "duration", with("duration", "0s")},
      {"empty duration", "duration", with("duration", "")},
      {"no object", "body", json::array({1})},
      {"text", "body", "packet_loss"},
      {"null", "body", nullptr},
  };
  for (const auto& bad : cases) expect_refused(bad.name, bad.field, bad.body);
}

TEST(RequestSchema, GoesThereAndBack) {
  const ScenarioRequest request = full_scenario().request;
  const auto again = scenario_request_from_json(to_json(request));
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(to_json(*again), to_json(request));
  EXPECT_EQ(again->seed, request.seed);
  EXPECT_EQ(again->duration, request.duration);
}

TEST(StrictJson, ParsesDocuments) {
  EXPECT_EQ(parse_json(R"({"a": [1, "x", null]})").value(), (json{{"a", {1, "x", nullptr}}}));
  EXPECT_EQ(parse_json("7").value(), 7);
}

TEST(StrictJson, RefusesWhatIsNone) {
  for (const char* text :
       {"", " ", "{", "{\"a\":}", "{'a':1}", "[1,]", "nul", "1 2", "\"\xff\"", "1e999", "{\"a\":NaN}"}) {
    const auto parsed = parse_json(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalid);
  }
}

TEST(StrictJson, RefusesRepeatedKeys) {
  const auto parsed = parse_json(R"({"target": {"interface": "a", "interface": "b"}})");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().field, "interface");
  EXPECT_TRUE(parse_json(R"({"a": {"x": 1}, "b": {"x": 2}})").has_value()) << "the same name in two objects is fine";
}

TEST(StrictJson, RefusesDeepNesting) {
  EXPECT_TRUE(parse_json(std::string(10, '[') + std::string(10, ']')).has_value());
  EXPECT_FALSE(parse_json(std::string(30'000, '[') + std::string(30'000, ']')).has_value());
}

TEST(ScenarioSchema, HasExactlyThePropertiesThatThePublishedSchemaLists) {
  const json scenario = to_json(full_scenario());
  const auto compare = [](const json& value, const char* schema_name) {
    SCOPED_TRACE(schema_name);
    const json& schema = component_schemas().at(schema_name);
    std::set<std::string> written;
    for (const auto& [name, unused] : value.items()) written.insert(name);
    std::set<std::string> published;
    for (const auto& [name, unused] : schema.at("properties").items()) published.insert(name);
    EXPECT_EQ(written, published);
  };
  compare(scenario, "Scenario");
  compare(scenario.at("owner"), "Owner");
  compare(scenario.at("plan"), "Plan");
  compare(scenario.at("counters"), "Counters");
  compare(to_json(full_scenario().request), "ScenarioRequest");
  compare(to_json(full_kind(), json::object()), "Kind");
  compare(to_json(full_kind(), json::object()).at("parameters").at(0), "Parameter");
}

TEST(ScenarioSchema, LeavesOutWhatIsAbsent) {
  Scenario bare;
  bare.request.kind = "k";
  const json scenario = to_json(bare);
  const json& required = component_schemas().at("Scenario").at("required");
  EXPECT_EQ(scenario.size(), required.size()) << scenario.dump(1);
  for (const auto& name : required) EXPECT_TRUE(scenario.contains(name.get<std::string>())) << name;
}

TEST(ScenarioSchema, UsesTheContractsTerms) {
  const json scenario = to_json(full_scenario());
  EXPECT_EQ(scenario["id"], "01HZX3Q4V5W6X7Y8Z9A0B1C2D3");
  EXPECT_EQ(scenario["target"], (json{{"interface", "eth0"}, {"peer", {"10.0.0.1", "10.0.0.2"}}}));
  EXPECT_EQ(scenario["seed"], "18446744073709551615");
  EXPECT_EQ(scenario["duration"], "5m");
  EXPECT_EQ(scenario["state"], "failed");
  EXPECT_EQ(scenario["end_reason"], "lapsed");
  EXPECT_EQ(scenario["created_at"], "2026-11-24T06:34:37.123Z");
  EXPECT_EQ(scenario["ended_at"], "2026-11-24T06:34:40.000Z");
  EXPECT_EQ(scenario["owner"], (json{{"uid", 0}, {"user", "root"}, {"login_uid", 1000}, {"comm", "curl"}}));
  EXPECT_EQ(scenario["counters"]["injected"], 4);
}

TEST(KindSchema, SpreadsPresetsOverFiveSeverities) {
  const json kind = to_json(full_kind(), json::object());
  EXPECT_EQ(kind["name"], "packet_loss");
  EXPECT_EQ(kind["targets"],
            (json{"interface", "netns", "peer", "port", "local-port", "protocol", "direction", "uid"}));
  EXPECT_EQ(kind["features"], (json{"tcx"}));
  const json& parameter = kind["parameters"][0];
  EXPECT_EQ(parameter["severity"].size(), 5U);
  EXPECT_EQ(parameter["severity"]["1"], "1%");
  EXPECT_EQ(parameter["severity"]["3"], "10%");
  EXPECT_EQ(parameter["severity"]["5"], "50%");
  EXPECT_EQ(parameter["default"], "10%");
}

TEST(KindSchema, ScalesOfTheConfigurationGoBeforeTheKindsOwn) {
  const json scale{{"1", "2%"}, {"2", "2%"}, {"3", "3%"}, {"4", "4%"}, {"5", "4%"}};
  const std::string name = to_json(full_kind(), json::object())["parameters"][0]["name"];
  const json kind = to_json(full_kind(), {{"enabled", false}, {"severity", {{name, scale}}}});
  EXPECT_EQ(kind["parameters"][0]["severity"], scale);
  EXPECT_EQ(kind["policy"], (json{{"enabled", false}}));
}

TEST(KindSchema, CommonParametersAreDescribed) {
  const json common = common_parameters_json();
  ASSERT_FALSE(common.empty());
  EXPECT_EQ(common[0]["name"], "max_events");
}

}  // namespace
}  // namespace chaos::test
