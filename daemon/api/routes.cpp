#include "api/routes.h"

#include <memory>
#include <utility>

#include "api/handlers.h"
#include "api/openapi.h"
#include "api/problem.h"

namespace chaos {
namespace {

using nlohmann::json;
using Method = void (Handlers::*)(const HttpRequest&, Respond) const;

/// What is seen of a route from outside, and who answers it.
struct Row {
  std::string_view method;
  std::string_view pattern;
  Role role;
  std::string_view operation;
  std::string_view summary;
  std::vector<QueryParam> query;
  std::string_view request_schema;
  std::string_view response_schema;
  int status;
  bool audited;
  bool idempotency_key;
  Method call;

  [[nodiscard]] std::string_view response_type() const {
    return pattern == "/metrics" ? "text/plain" : "text/event-stream";
  }
};

/// Of what is watched while somebody asks.
std::vector<QueryParam> watch_parameters(
    std::string_view target = "KEY=VALUE: service, unit, cgroup or container; default: the whole host") {
  return {{"target", "string", target},
          {"duration", "string", "how long, 100ms to 1h: the answer comes at the end; default 10s, with interval 1h"},
          {"interval", "string", "100ms to 1m: server-sent events instead, each with what came since the beginning"},
          {"lease", "string",
           "1s to 1m: an answer at once, with what came since the programs were attached, which stay for so long; for "
           "who asks again and again"}};
}

// clang-format off
// Emergency stop and rearm take no Idempotency-Key: a replayed answer would stop nothing, or tell an old state.
std::vector<Row> table() {
  using H = Handlers;
  constexpr Role kView = Role::kView;
  constexpr Role kOperate = Role::kOperate;
  return {
      {"GET", "/health", kView, "health", "Is the daemon well, armed, latched; how much runs",
       {}, "", "Health", 200, false, false, &H::health},
      {"GET", "/api/chaos/scenarios", kView, "list_scenarios", "Scenarios that have not ended, or all",
       {{"all", "boolean", "with those that have ended"}},
       "", "ScenarioList", 200, false, false, &H::list},
      {"POST", "/api/chaos/scenarios", kOperate, "start_scenario", "Start a scenario; answers once it acts or waits",
       {}, "ScenarioRequest", "Scenario", 201, true, true, &H::start},
      {"GET", "/api/chaos/scenarios/{id}", kView, "show_scenario", "One scenario",
       {}, "", "Scenario", 200, false, false, &H::find},
      {"POST", "/api/chaos/scenarios/{id}/stop", kOperate, "stop_scenario", "Stop a scenario; answers once it is gone",
       {}, "StopRequest", "Scenario", 200, true, true, &H::stop},
      {"POST", "/api/chaos/plan", kOperate, "plan_scenario", "What would be touched, and would it be admitted",
       {}, "ScenarioRequest", "PlanReport", 200, false, true, &H::plan},
      {"POST", "/api/chaos/emergency-stop", kOperate, "emergency_stop", "Silence everything at once, and latch",
       {}, "EmergencyStopRequest", "EmergencyStopReport", 200, true, false, &H::emergency_stop},
      {"POST", "/api/chaos/rearm", kOperate, "rearm", "Lift the latch of an emergency stop",
       {}, "", "Latch", 200, true, false, &H::rearm},
      {"GET", "/api/chaos/kinds", kView, "list_kinds", "Fault kinds with their parameters",
       {}, "", "KindList", 200, false, false, &H::kinds},
      {"GET", "/api/chaos/features", kView, "list_features", "What this kernel can do",
       {}, "", "FeatureList", 200, false, false, &H::features},
      {"GET", "/api/chaos/residue", kView, "residue", "What is left of chaosd on this host",
       {}, "", "ResidueReport", 200, false, false, &H::residue},
      {"GET", "/api/services", kView, "list_services", "The configured services as they are now",
       {}, "", "ServiceList", 200, false, false, &H::services},
      {"GET", "/api/monitoring/metrics", kView, "list_metrics", "All series with their newest values",
       {{"pattern", "string", "shell pattern, or a part, of the metrics' names"}},
       "", "MetricList", 200, false, false, &H::metrics},
      {"GET", "/api/monitoring/history", kView, "metric_history", "The series of one metric over time",
       {{"metric", "string", "its full name"},
        {"labels", "string", "only series with these: NAME=VALUE,NAME=VALUE"},
        {"since", "string", "how far back: \"10m\", \"2d\"; default 10m"},
        {"step", "string", "length of a step: \"10s\"; default 0: the samples as they are"},
        {"aggregation", "string", "last, avg, min, max, rate or increase; default rate for counters, last for gauges"}},
       "", "MetricHistory", 200, false, false, &H::metric_history},
      {"GET", "/api/monitoring/drops", kView, "watch_drops", "Packets that the kernel drops while this is asked, by reason",
       watch_parameters(), "", "Drops", 200, false, false, &H::watch_drops},
      {"GET", "/api/monitoring/tcp", kView, "watch_tcp", "Retransmits, resets and round-trip times while this is asked",
       watch_parameters(), "", "Tcp", 200, false, false, &H::watch_tcp},
      {"GET", "/api/monitoring/syscalls", kView, "watch_syscalls", "System calls of a target while this is asked",
       watch_parameters("KEY=VALUE: service, unit, cgroup, container or pid; required"), "", "Syscalls", 200, false, false,
       &H::watch_syscalls},
      {"GET", "/metrics", kView, "prometheus_metrics", "All series for Prometheus, as text or OpenMetrics by Accept",
       {}, "", "", 200, false, false, &H::exposition},
      {"GET", "/api/events", kView, "follow_events", "What happens, as server-sent events",
       {{"last_event_id", "integer", "events after this id; 0: all that are kept; the header Last-Event-ID wins"},
        {"follow", "boolean", "false: end after the events that are kept; default true"}},
       "", "", 200, false, false, &H::follow},
      {"GET", "/api/audit", kView, "list_audit", "Who did what, newest first",
       {{"limit", "integer", "1 to 1000 entries; default 100"}, {"before", "integer", "only entries below this seq"}},
       "", "AuditList", 200, false, false, &H::audit},
      {"GET", "/api/audit/verify", kView, "verify_audit", "Is the audit log as it was written: checks its hash chain",
       {}, "", "AuditVerification", 200, false, false, &H::verify_audit},
      {"GET", "/api/log-level", kView, "log_level", "The log level",
       {}, "", "LogLevel", 200, false, false, &H::log_level},
      {"POST", "/api/log-level", kOperate, "set_log_level", "Change the log level until the next restart or reload",
       {}, "LogLevel", "LogLevel", 200, true, true, &H::set_log_level},
      {"POST", "/api/config/reload", kOperate, "reload_config", "Read the configuration again, or keep the old one",
       {}, "", "ReloadReport", 200, true, true, &H::reload},
  };
}
// clang-format on

Route bound(Row row, const std::shared_ptr<const Handlers>& handlers) {
  return {.method = row.method,
          .pattern = row.pattern,
          .role = row.role,
          .operation = row.operation,
          .summary = row.summary,
          .query = std::move(row.query),
          .request_schema = row.request_schema,
          .response_schema = row.response_schema,
          .response_type = row.response_type(),
          .status = row.status,
          .audited = row.audited,
          .idempotency_key = row.idempotency_key,
          .handler = [handlers, call = row.call](const HttpRequest& request, Respond respond) {
            ((*handlers).*call)(request, std::move(respond));
          }};
}

}  // namespace

json to_json(const AuditEntry& entry) {
  json value{{"seq", entry.seq},       {"time", format_rfc3339(entry.time)},
             {"uid", entry.uid},       {"user", entry.user},
             {"pid", entry.pid},       {"action", entry.action},
             {"status", entry.status}, {"request_id", entry.request_id}};
  if (entry.login_uid) value["login_uid"] = *entry.login_uid;
  const auto put = [&value](const char* name, const std::string& text) {
    if (!text.empty()) value[name] = text;
  };
  put("comm", entry.comm);
  put("socket", entry.socket);
  put("scenario_id", entry.scenario_id);
  put("detail", entry.detail);
  if (entry.hash) value["hash"] = to_hex(*entry.hash);
  return value;
}

json to_json(const AuditVerification& verification) {
  json value{{"ok", verification.ok()},
             {"checked", verification.checked},
             {"unchained", verification.unchained},
             {"head", to_hex(verification.head)}};
  if (verification.problem) {
    value["problem"] = {{"seq", verification.problem->seq}, {"what", to_string(verification.problem->what)}};
  }
  return value;
}

std::vector<Route> make_routes(const Backend& backend, EventHub& events, std::string_view version) {
  const auto handlers = std::make_shared<const Handlers>(backend, events);
  std::vector<Route> routes;
  for (Row& row : table()) routes.push_back(bound(std::move(row), handlers));

  Route self{.method = "GET",
             .pattern = "/openapi.json",
             .role = Role::kView,
             .operation = "openapi",
             .summary = "This document",
             .response_schema = "OpenApi"};
  routes.push_back(self);
  auto document = std::make_shared<const std::string>(dump_json(openapi_document(routes, version)) + "\n");
  routes.back().handler = [document](const HttpRequest&, Respond respond) {
    respond({.headers = {{"Content-Type", "application/json"}}, .body = *document});
  };
  return routes;
}

}  // namespace chaos
