// The published document against the routes and against what the endpoints really answer.
#include "api/openapi.h"

#include <gtest/gtest.h>

#include <set>

#include "api_daemon.h"

namespace chaos::test {
namespace {

using nlohmann::json;

bool is_type(const json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  return type == "number" && value.is_number();
}

/// The parts of JSON Schema that component_schemas() uses for answers; stricter in one point: an object has no
/// properties that its schema does not list. Empty, or what is wrong and where.
std::string violation(const json& value, json schema, const std::string& where) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    schema = component_schemas().at(ref.substr(ref.rfind('/') + 1));
  }
  if (schema.contains("anyOf")) {
    for (const auto& option : schema["anyOf"]) {
      if (violation(value, option, where).empty()) return {};
    }
    return where + " fits none of anyOf";
  }
  if (!is_type(value, schema.value("type", ""))) return where + " is no " + schema.value("type", "?");
  if (schema.contains("enum") && std::ranges::find(schema["enum"], value) == schema["enum"].end()) {
    return where + " is not in the enum";
  }
  for (const auto& name : schema.value("required", json::array())) {
    if (!value.contains(name.get<std::string>())) return where + " lacks " + name.get<std::string>();
  }
  if (value.is_array()) {
    for (const auto& element : value) {
      if (auto wrong = violation(element, schema.at("items"), where + "[]"); !wrong.empty()) return wrong;
    }
  }
  if (!value.is_object() || !(schema.contains("properties") || schema.contains("additionalProperties"))) return {};
  for (const auto& [name, member] : value.items()) {
    const auto properties = schema.value("properties", json::object());
    const bool listed = properties.contains(name);
    if (!listed && !schema.contains("additionalProperties")) return where + " has unlisted " + name;
    const json& member_schema = listed ? properties[name] : schema["additionalProperties"];
    if (auto wrong = violation(member, member_schema, where + "." + name); !wrong.empty()) return wrong;
  }
  return {};
}

struct OpenApi : testing::Test {
  FakeDaemon daemon;
  json document = openapi_document(daemon.routes(), "1.2.3");
};

TEST_F(OpenApi, EveryRouteIsInTheDocument) {
  std::set<std::string> operations;
  for (const Route& route : daemon.routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.pattern));
    const json& item = document["paths"].at(std::string(route.pattern));
    const json& operation = item.at(route.method == "GET" ? "get" : "post");
    EXPECT_EQ(operation["operationId"], route.operation);
    EXPECT_EQ(operation["x-chaos-role"], to_string(route.role));
    EXPECT_TRUE(operation["responses"].contains(std::to_string(route.status)));
    EXPECT_EQ(operation.contains("requestBody"), !route.request_schema.empty());
    EXPECT_TRUE(operations.insert(std::string(route.operation)).second) << "operation ids are unique";
    EXPECT_EQ(route.role == Role::kOperate, route.method == "POST");
    EXPECT_NE(route.summary, "");
  }
}

TEST_F(OpenApi, EverythingInTheDocumentIsARoute) {
  std::size_t count = 0;
  for (const auto& [path, item] : document["paths"].items()) {
    for (const auto& [method, operation] : item.items()) {
      ++count;
      const auto same = [&path = path, &method = method](const Route& route) {
        return route.pattern == path && (route.method == "GET" ? "get" : "post") == method;
      };
      EXPECT_EQ(std::ranges::count_if(daemon.routes(), same), 1) << method << " " << path;
    }
  }
  EXPECT_EQ(count, daemon.routes().size());
}

TEST_F(OpenApi, ContractEndpointsAreThere) {
  for (const char* path :
       {"/health", "/api/chaos/scenarios", "/api/chaos/scenarios/{id}", "/api/chaos/scenarios/{id}/stop",
        "/api/chaos/plan", "/api/chaos/emergency-stop", "/api/chaos/rearm", "/api/chaos/kinds", "/api/chaos/features",
        "/api/chaos/residue", "/api/monitoring/metrics", "/api/monitoring/history", "/metrics", "/api/events",
        "/api/audit", "/api/audit/verify", "/openapi.json"}) {
    EXPECT_TRUE(document["paths"].contains(path)) << path;
  }
}

TEST_F(OpenApi, PathParametersAreDeclared) {
  const json& operation = document["paths"]["/api/chaos/scenarios/{id}"]["get"];
  EXPECT_EQ(operation["parameters"][0]["name"], "id");
  EXPECT_EQ(operation["parameters"][0]["in"], "path");
  EXPECT_EQ(operation["parameters"][0]["required"], true);
}

void collect_refs(const json& value, std::set<std::string>& refs) {
  if (value.is_object() && value.contains("$ref")) refs.insert(value["$ref"].get<std::string>());
  if (!value.is_structured()) return;
  for (const auto& member : value) collect_refs(member, refs);
}

TEST_F(OpenApi, ReferencesLeadSomewhereAndNothingIsUnused) {
  std::set<std::string> refs;
  collect_refs(document, refs);
  std::set<std::string> names;
  for (const auto& [name, schema] : document["components"]["schemas"].items()) {
    names.insert("#/components/schemas/" + name);
  }
  EXPECT_EQ(refs, names);
}

TEST_F(OpenApi, AnswersFitTheirSchemas) {
  const std::map<std::string, std::string> bodies = {{"start_scenario", FakeDaemon::kRequest},
                                                     {"plan_scenario", FakeDaemon::kRequest},
                                                     {"set_log_level", R"({"level": "debug"})"}};
  for (const Route& route : daemon.routes()) {
    if (route.response_schema.empty()) continue;
    SCOPED_TRACE(route.operation);
    std::string target(route.pattern);
    if (const auto open = target.find("{id}"); open != std::string::npos) target.replace(open, 4, full_scenario().id);
    if (route.operation == "list_scenarios") target += "?all=true";
    if (route.operation == "metric_history") target += "?metric=m";
    const auto body = bodies.find(std::string(route.operation));
    const Reply reply = daemon.ask(route.method, target, body == bodies.end() ? "" : body->second);
    EXPECT_EQ(reply.status, route.status) << reply.body;
    EXPECT_EQ(violation(json::parse(reply.body), {{"$ref", "#/" + std::string(route.response_schema)}}, "body"), "");
  }
  const json problem = json::parse(daemon.ask("GET", "/none").body);
  EXPECT_EQ(violation(problem, {{"$ref", "#/Problem"}}, "problem"), "");
}

TEST_F(OpenApi, IsServed) {
  const Reply reply = daemon.ask("GET", "/openapi.json");
  EXPECT_EQ(json::parse(reply.body), document);
  EXPECT_EQ(document["openapi"], "3.1.0");
  EXPECT_EQ(document["info"]["version"], "1.2.3");
}

}  // namespace
}  // namespace chaos::test
