#include "api/schema.h"

#include <string>

#include "base/clock.h"
#include "base/units.h"
#include "plan/parameters.h"

namespace chaos {
namespace {

using nlohmann::json;

json values_json(const std::vector<std::string>& values) {
  return values.size() == 1 ? json(values.front()) : json(values);
}

void put(json& to, const char* name, std::string_view value) {
  if (!value.empty()) to[name] = value;
}

void put(json& to, const char* name, const std::optional<WallTime>& time) {
  if (time) to[name] = format_rfc3339(*time);
}

json targets_json(const TargetSupport& support) {
  json targets = json::array();
  if (support.host) targets.push_back("host");
  if (support.sockets || support.processes) {
    for (const char* key : {"service", "unit", "cgroup", "container", "pid"}) targets.push_back(key);
  }
  if (support.interface) targets.push_back("interface");
  if (support.netns) targets.push_back("netns");
  if (support.filters) {
    for (const char* key : {"peer", "port", "local-port", "protocol", "direction", "uid"}) targets.push_back(key);
  }
  if (support.users) {
    for (const char* key : {"netns", "uid"}) targets.push_back(key);
  }
  if (support.sockets || support.processes) targets.push_back("comm");
  return targets;
}

}  // namespace

json to_json(const ScenarioRequest& request) {
  json target = json::object();
  for (const auto& [key, values] : request.target) target[key] = values_json(values);
  json value{{"kind", request.kind},
             {"target", std::move(target)},
             {"parameters", json(request.parameters)},
             {"mode", to_string(request.mode)},
             {"validate", request.validate},
             {"confirm_default_route", request.confirm_default_route}};
  if (request.severity) value["severity"] = *request.severity;
  if (request.duration) value["duration"] = format_duration(*request.duration);
  if (request.seed) value["seed"] = std::to_string(*request.seed);
  put(value, "reason", request.reason);
  return value;
}

json to_json(const Caller& caller) {
  json value{{"uid", caller.uid}, {"user", caller.user}};
  if (caller.login_uid) value["login_uid"] = *caller.login_uid;
  put(value, "comm", caller.comm);
  return value;
}

json to_json(const Counters& counters) {
  // Does not compile once there is another counter: none must be missing from the sums.
  const auto& [evaluated, unmatched, matched, injected, not_sampled, spared_protected, spared_budget, spared_expired,
               over_limit, shadowed, matched_segments, injected_segments, injected_jointly] = counters;
  return {{"evaluated", evaluated},
          {"unmatched", unmatched},
          {"matched", matched},
          {"injected", injected},
          {"not_sampled", not_sampled},
          {"spared_protected", spared_protected},
          {"spared_budget", spared_budget},
          {"spared_expired", spared_expired},
          {"over_limit", over_limit},
          {"shadowed", shadowed},
          {"matched_segments", matched_segments},
          {"injected_segments", injected_segments},
          {"injected_jointly", injected_jointly}};
}

json to_json(const PlanSummary& plan) {
  return {{"ownership", plan.ownership}, {"mechanism", plan.mechanism},       {"interfaces", plan.interfaces},
          {"cgroups", plan.cgroups},     {"processes", plan.processes},       {"peers", plan.peers},
          {"touches", plan.touches},     {"blast_radius", plan.blast_radius}, {"parameters", json(plan.parameters)},
          {"notes", plan.notes}};
}

json to_json(const Scenario& scenario) {
  json value = to_json(scenario.request);
  put(value, "id", scenario.id);
  value["state"] = to_string(scenario.state);
  put(value, "end_reason", to_string(scenario.end_reason));
  value["owner"] = to_json(scenario.owner);
  value["plan"] = to_json(scenario.plan);
  value["created_at"] = format_rfc3339(scenario.created_at);
  put(value, "started_at", scenario.started_at);
  put(value, "ends_at", scenario.ends_at);
  put(value, "ended_at", scenario.ended_at);
  if (scenario.queue_position) value["queue_position"] = *scenario.queue_position;
  put(value, "expected_start_at", scenario.expected_start_at);
  value["achieved"] = json(scenario.achieved);
  value["counters"] = to_json(scenario.counters);
  value["warnings"] = scenario.warnings;
  put(value, "error", scenario.error);
  return value;
}

json to_json(const ParamSpec& parameter) {
  json value{{"name", parameter.name}, {"type", to_string(parameter.type)}, {"help", parameter.help}};
  put(value, "minimum", parameter.minimum);
  put(value, "maximum", parameter.maximum);
  put(value, "default", parameter.default_value);
  if (!parameter.choices.empty()) value["choices"] = parameter.choices;
  const auto condition = [](const Condition& what) {
    return json{{"parameter", what.parameter}, {"values", what.values}};
  };
  if (!parameter.when.parameter.empty()) value["when"] = condition(parameter.when);
  if (!parameter.or_when.parameter.empty()) value["or_when"] = condition(parameter.or_when);
  if (parameter.required) value["required"] = true;
  if (!parameter.required_when.parameter.empty()) value["required_when"] = condition(parameter.required_when);
  if (!parameter.preset_when.parameter.empty()) value["preset_when"] = condition(parameter.preset_when);
  for (int severity = 1; severity <= 5; ++severity) {
    const auto preset = severity_preset(parameter, severity);
    if (!preset.empty()) value["severity"][std::to_string(severity)] = preset;
  }
  return value;
}

json to_json(const KindSpec& kind, json policy) {
  const json scales = policy.value("severity", json::object());
  policy.erase("severity");
  json parameters = json::array();
  for (const ParamSpec& parameter : kind.parameters) {
    parameters.push_back(to_json(parameter));
    const auto scale = scales.find(parameter.name);
    if (scale != scales.end()) parameters.back()["severity"] = *scale;
  }
  return {{"name", kind.name},
          {"help", kind.help},
          {"ownership", to_string(kind.ownership)},
          {"parameters", std::move(parameters)},
          {"targets", targets_json(kind.targets)},
          {"features", kind.features},
          {"policy", std::move(policy)}};
}

json common_parameters_json() {
  json parameters = json::array();
  for (const ParamSpec& parameter : common_parameters()) parameters.push_back(to_json(parameter));
  return parameters;
}

}  // namespace chaos
