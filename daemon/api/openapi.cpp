#include "api/openapi.h"

#include <algorithm>
#include <string>

namespace chaos {
namespace {

using nlohmann::json;

json ref_to(std::string_view schema) { return {{"$ref", "#/components/schemas/" + std::string(schema)}}; }

json content_of(std::string_view type, json schema) { return {{std::string(type), {{"schema", std::move(schema)}}}}; }

json parameters_of(const Route& route) {
  json parameters = json::array();
  std::string_view rest = route.pattern;
  for (auto open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
    const auto close = rest.find('}', open);
    parameters.push_back({{"name", rest.substr(open + 1, close - open - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}}}});
    rest.remove_prefix(close + 1);
  }
  for (const QueryParam& query : route.query) {
    parameters.push_back(
        {{"name", query.name}, {"in", "query"}, {"description", query.help}, {"schema", {{"type", query.type}}}});
  }
  if (route.idempotency_key) {
    parameters.push_back({{"name", "Idempotency-Key"},
                          {"in", "header"},
                          {"description", "the same key with the same request within 10 minutes: the same answer"},
                          {"schema", {{"type", "string"}, {"minLength", 1}, {"maxLength", 255}}}});
  }
  return parameters;
}

json operation_of(const Route& route) {
  json success{{"description", route.summary}};
  if (route.response_schema.empty()) {
    success["content"] = content_of(route.response_type, {{"type", "string"}});
  } else {
    success["content"] = content_of("application/json", ref_to(route.response_schema));
  }
  json operation{{"operationId", route.operation},
                 {"summary", route.summary},
                 {"x-chaos-role", to_string(route.role)},
                 {"responses",
                  {{std::to_string(route.status), std::move(success)},
                   {"default",
                    {{"description", "a problem document (RFC 9457)"},
                     {"content", content_of("application/problem+json", ref_to("Problem"))}}}}}};
  if (auto parameters = parameters_of(route); !parameters.empty()) operation["parameters"] = std::move(parameters);
  if (!route.request_schema.empty()) {
    const auto& schema = component_schemas().at(std::string(route.request_schema));
    operation["requestBody"] = {{"required", schema.contains("required")},
                                {"content", content_of("application/json", ref_to(route.request_schema))}};
  }
  return operation;
}

}  // namespace

json openapi_document(const std::vector<Route>& routes, std::string_view version) {
  json paths = json::object();
  for (const Route& route : routes) {
    std::string method(route.method);
    std::ranges::transform(method, method.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
    paths[std::string(route.pattern)][method] = operation_of(route);
  }
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "chaosd"},
            {"version", version},
            {"license", {{"name", "MIT"}, {"identifier", "MIT"}}},
            {"description",
             "Host-level fault injection, over a Unix socket. Errors are RFC 9457 problem documents that name the "
             "field and the rule. x-chaos-role is the role that an operation needs: view reads, operate changes."}}},
          {"servers", {{{"url", "http://localhost"}, {"description", "/run/chaosd/chaosd.sock"}}}},
          {"paths", std::move(paths)},
          {"components", {{"schemas", component_schemas()}}}};
}

}  // namespace chaos
