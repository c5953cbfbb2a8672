#include "system/bad_requests.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "support/child.h"

namespace chaos::test {
namespace {

using nlohmann::json;

std::set<std::string> types_of(const json& property) {
  std::set<std::string> types;
  const json& type = property.at("type");
  for (const json& name : type.is_array() ? type : json::array({type})) types.insert(name.get<std::string>());
  return types;
}

/// One value of each JSON type that is not among `types`.
std::vector<std::pair<std::string, json>> of_other_types(const std::set<std::string>& types) {
  std::vector<std::pair<std::string, json>> values;
  const auto add = [&](const std::string& type, json value) {
    if (!types.contains(type)) values.emplace_back(type, std::move(value));
  };
  add("string", "x");
  add("boolean", true);
  add("array", json::array({"x"}));
  add("object", json{{"x", 1}});
  add("null", nullptr);
  if (!types.contains("number") && !types.contains("integer")) values.emplace_back("integer", 3);
  if (!types.contains("number")) values.emplace_back("fraction", 2.5);
  return values;
}

/// Values that break what a property says about its value, by keyword.
std::vector<std::pair<std::string, json>> out_of_bounds(const json& property) {
  std::vector<std::pair<std::string, json>> values;
  const auto number = [&](const char* keyword, double by) {
    if (property.contains(keyword)) values.emplace_back(keyword, property[keyword].get<double>() + by);
  };
  if (types_of(property).contains("integer")) {
    if (property.contains("minimum")) values.emplace_back("minimum", property["minimum"].get<std::int64_t>() - 1);
    if (property.contains("maximum")) values.emplace_back("maximum", property["maximum"].get<std::int64_t>() + 1);
  } else {
    number("minimum", -0.5);
    number("maximum", 0.5);
    number("exclusiveMinimum", 0);
    number("exclusiveMinimum", -0.5);
  }
  if (property.contains("maxLength")) {
    values.emplace_back("maxLength", std::string(property["maxLength"].get<std::size_t>() + 1, 'x'));
  }
  if (property.contains("minLength")) values.emplace_back("minLength", "");
  if (property.contains("minProperties")) values.emplace_back("minProperties", json::object());
  if (property.contains("enum")) values.emplace_back("enum", "no-such-choice");
  if (property.contains("pattern")) values.emplace_back("pattern", "-1 x");
  return values;
}

/// "10%" + 1 → "11%": the number before the unit, moved.
std::string moved(const std::string& value, std::int64_t by) {
  const std::size_t unit = std::min(value.find_first_not_of("0123456789"), value.size());
  return std::to_string(std::stoll(value.substr(0, unit)) + by) + value.substr(unit);
}

bool has_order(const std::string& type) { return type != "choice" && type != "string"; }

bool holds(const json& condition, const json& values) {
  const auto given = values.find(condition.at("parameter"));
  return given != values.end() && std::ranges::find(condition.at("values"), *given) != condition.at("values").end();
}

/// Whether a parameter is taken with these values of the others.
bool applies(const json& parameter, const json& values) {
  return !parameter.contains("when") || holds(parameter["when"], values) ||
         (parameter.contains("or_when") && holds(parameter["or_when"], values));
}

/// A value that is taken where the parameter applies.
json good_value(const json& parameter) {
  static const std::map<std::string, json> kTexts{
      {"table", "1ms,2ms"}, {"syscalls", "connect"}, {"path", "/"}, {"cpus", "0"}};
  if (parameter.contains("default")) return parameter["default"];
  if (parameter.contains("severity")) return parameter["severity"].at("3");
  if (parameter.contains("choices")) return parameter["choices"].at(0);
  return parameter.at("type") == "string" ? kTexts.at(parameter.at("name")) : parameter.at("maximum");
}

/// Its targets are processes, and not networks.
bool is_about_processes(const json& kind) {
  const json& targets = kind.at("targets");
  return std::ranges::find(targets, "interface") == targets.end();
}

/// Whether a request without it is refused, with these values of the others.
bool is_needed(const json& kind, const json& parameter, const json& values) {
  if (parameter.at("name") == kind.at("parameters").at(0).at("name")) return applies(parameter, values);
  return parameter.value("required", false) && applies(parameter, values) &&
         (!parameter.contains("required_when") || holds(parameter["required_when"], values));
}

/// `good` as a request of this kind, with a good value for all that is needed and has no default; `choice` decides on
/// what depends on another parameter.
json good_of_kind(const json& kind, json good, const json& choice) {
  json values = choice;
  for (const json& parameter : kind.at("parameters")) {
    if (parameter.contains("default")) values.emplace(parameter.at("name"), parameter["default"]);
  }
  json& parameters = good["parameters"] = choice;
  for (const json& parameter : kind.at("parameters")) {
    const bool given = parameter.contains("default") || choice.contains(parameter.at("name"));
    if (given || !is_needed(kind, parameter, values)) continue;
    values[parameter.at("name").get<std::string>()] = parameters[parameter.at("name")] = good_value(parameter);
  }
  good["kind"] = kind.at("name");
  // Never hit, since nothing here is accepted; and none that has chaosd below it, as this one has.
  static const Child kIdle("/bin/sleep", {"sleep", "1000"});
  if (is_about_processes(kind)) good["target"] = {{"pid", std::to_string(kIdle.pid())}};
  return good;
}

/// Under which a parameter is taken; what it depends on may depend on another itself.
json choice_for(const json& kind, const json& parameter) {
  if (!parameter.contains("when")) return json::object();
  const json& when = parameter["when"];
  json choice = json::object();
  for (const json& other : kind.at("parameters")) {
    if (other.at("name") == when.at("parameter")) choice = choice_for(kind, other);
  }
  choice[when.at("parameter").get<std::string>()] = when.at("values").at(0);
  return choice;
}

void add_parameter(const json& kind, const json& parameter, const json& any_good, std::vector<BadRequest>& requests) {
  const auto name = parameter.at("name").get<std::string>();
  const auto type = parameter.at("type").get<std::string>();
  const json good = good_of_kind(kind, any_good, choice_for(kind, parameter));
  const auto add = [&](const std::string& what, json value) {
    json body = good;
    body["parameters"][name] = std::move(value);
    requests.push_back({"parameter " + name + ": " + what, std::move(body), 400, "parameters." + name});
  };
  for (auto& [wrong, value] : of_other_types({"string", "number"})) add(wrong, value);
  add("empty", "");
  add("too long", std::string(5000, '1'));
  add("control character", "1\n0");
  if (has_order(type)) {
    add("garbage", "nonsense");
    add("half a value", "10%%");
  }
  if (parameter.contains("minimum")) add("below", moved(parameter["minimum"], -1));
  if (parameter.contains("maximum")) add("above", moved(parameter["maximum"], 1));
  if (parameter.contains("choices")) add("not a choice", "no-such-choice");
  if (!parameter.contains("when")) return;
  // Where its condition does not hold, a good value is wrong as well.
  const json value = good_value(parameter);
  const json& when = parameter["when"];
  for (const json& other : kind.at("parameters")) {
    if (other.at("name") != when.at("parameter")) continue;
    for (const json& choice : other.at("choices")) {
      if (std::ranges::find(when.at("values"), choice) != when.at("values").end()) continue;
      json choices = choice_for(kind, other);
      choices[when.at("parameter").get<std::string>()] = choice;
      json body = good_of_kind(kind, any_good, choices);
      body["parameters"][name] = value;
      requests.push_back({"parameter " + name + " with " + choice.dump(), std::move(body), 400, "parameters." + name});
    }
  }
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::optional<std::string> scalar(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  return std::nullopt;
}

/// " OPTION KEY=VALUE" for each; false if one is no scalar.
bool add_pairs(const std::string& option, const json& object, std::string& line) {
  for (const auto& [key, given] : object.items()) {
    const json list = given.is_array() ? given : json::array({given});
    if (list.empty()) return false;
    for (const json& element : list) {
      const auto value = scalar(element);
      if (!value) return false;
      line += " " + option + " " + quoted(key + "=" + *value);
    }
  }
  return true;
}

}  // namespace

std::vector<BadRequest> bad_by_schema(const json& schema, const json& good) {
  std::vector<BadRequest> requests;
  for (const json& required : schema.at("required")) {
    const auto name = required.get<std::string>();
    json body = good;
    body.erase(name);
    requests.push_back({name + " missing", std::move(body), 400, name});
  }
  for (const auto& [name, property] : schema.at("properties").items()) {
    const auto add = [&, field = name](const std::string& what, json value) {
      json body = good;
      body[field] = std::move(value);
      requests.push_back({field + ": " + what, std::move(body), 400, field});
    };
    for (auto& [wrong, value] : of_other_types(types_of(property))) add("a " + wrong, value);
    for (auto& [keyword, value] : out_of_bounds(property)) add("against " + keyword, value);
  }
  json body = good;
  body["no_such_field"] = 1;
  requests.push_back({"unknown field", std::move(body), 400, "no_such_field"});
  for (const auto& [wrong, value] : of_other_types({"object"})) {
    requests.push_back({"the body is a " + wrong, value, 400, "body"});
  }
  return requests;
}

std::vector<BadRequest> bad_parameters(const json& kind, const json& common, const json& any_good) {
  std::vector<BadRequest> requests;
  for (const json* list : {&kind.at("parameters"), &common}) {
    for (const json& parameter : *list) add_parameter(kind, parameter, any_good, requests);
  }
  const json good = good_of_kind(kind, any_good, json::object());
  json body = good;
  for (const auto& [name, value] : good.at("parameters").items()) {
    body = good;
    body["parameters"].erase(name);
    body.erase("severity");
    requests.push_back({name + " missing", body, 400, "parameters." + name});
  }
  body = good;
  body["parameters"]["no_such_parameter"] = "1";
  requests.push_back({"unknown parameter", body, 400, "parameters.no_such_parameter"});
  body = good;
  body["kind"] = "no_such_kind";
  requests.push_back({"unknown kind", body, 400, "kind"});
  return requests;
}

std::vector<BadRequest> bad_targets(const json& kind, const json& any_good) {
  json good = good_of_kind(kind, any_good, json::object());
  const json& targets = kind.at("targets");
  const bool about_processes = is_about_processes(kind);
  if (about_processes) good["target"] = json::object();
  // What only the key's own meaning tells apart from a good value.
  static const std::map<std::string, std::vector<std::pair<std::string, int>>> kNoValues{
      {"service", {{"no-such-service", 404}}},
      {"unit", {{"no-such.service", 404}}},
      {"cgroup", {{"/no-such-cgroup", 404}, {"relative", 400}, {"/", 400}, {"/a/../b", 400}}},
      {"container", {{"name", 404}, {"0123456789abcdef", 404}}},
      {"pid", {{"0", 400}, {"-1", 400}, {"x", 400}, {"4194305", 404}}},
      {"uid", {{"root", 400}, {"-1", 400}, {"4294967295", 400}}},
      {"comm", {{"no-such-process", 404}}},
      {"host", {{"another", 400}, {"127.0.0.1", 400}}},
      {"interface", {{"no-such-if", 404}}},
      {"netns", {{"no-such-netns", 404}, {"relative/path", 400}, {"/proc/self/ns/mnt", 400}, {"4194305", 404}}},
      {"peer", {{"10.0.0.0/33", 400}, {"10.0.0.1/8", 400}, {"fe80::1%lo", 400}, {"10.1", 400}}},
      {"port", {{"0", 400}, {"65536", 400}, {"10-5", 400}, {"http", 400}, {"80,", 400}}},
      {"local-port", {{"0", 400}, {"65536", 400}, {"10-5", 400}, {"http", 400}, {"80,", 400}}},
      {"protocol", {{"256", 400}, {"carrier-pigeon", 400}, {"-1", 400}}},
      {"direction", {{"sideways", 400}}},
  };
  std::vector<BadRequest> requests;
  const auto add = [&](const std::string& what, const std::string& key, json value, int status) {
    json body = good;
    // It narrows another; that one is never hit, since nothing here is accepted.
    if (about_processes && key == "comm") body["target"]["pid"] = std::to_string(::getpid());
    if (about_processes && key == "netns") body["target"]["uid"] = "1";
    body["target"][key] = std::move(value);
    requests.push_back({"target " + key + ": " + what, std::move(body), status, "target." + key});
  };
  for (const json& supported : targets) {
    const auto key = supported.get<std::string>();
    for (auto& [wrong, value] : of_other_types({"string", "number", "array"})) add("a " + wrong, key, value, 400);
    add("an object in a list", key, json::array({json::object()}), 400);
    add("empty", key, "", 400);
    add("an empty list", key, json::array(), 400);
    add("too many", key, json(std::vector<std::string>(300, "1")), 400);
    add("control character", key, "a\tb", 400);
    for (const auto& [value, status] : kNoValues.at(key)) add("'" + value + "'", key, value, status);
  }
  add("unknown key", "planet", "mars", 400);

  json body = good;
  body["target"] = {{"port", "80"}};
  requests.push_back({"no primary target", body, 400, "target"});
  body["target"] = {{"interface", "lo"}, {"pid", "1"}};
  requests.push_back({"two primary targets", body, 400, "target"});
  return requests;
}

std::optional<std::string> as_arguments(const json& body) {
  if (!body.is_object()) return std::nullopt;
  std::string line;
  for (const auto& [name, value] : body.items()) {
    if (name == "target" || name == "parameters") {
      // A list of one text would be that text.
      const bool lists = std::ranges::any_of(value, [](const json& one) { return one.is_array(); });
      if (!value.is_object() || (name == "parameters" && lists)) return std::nullopt;
      if (!add_pairs(name == "target" ? "--target" : "--set", value, line)) return std::nullopt;
      continue;
    }
    if (name == "mode" || name == "validate" || name == "confirm_default_route") return std::nullopt;
    // An option is text whatever it looks like, and an empty one counts as not given.
    const auto text = value.is_string() || name == "severity" ? scalar(value) : std::nullopt;
    if (!text || text->empty()) return std::nullopt;
    line += name == "kind" ? " " + quoted(*text) : " --" + name + "=" + quoted(*text);
  }
  return line;
}

}  // namespace chaos::test
