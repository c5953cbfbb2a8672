// Routes: the endpoints of CONTRACT, as one table. They turn JSON into calls of the Backend and its answers into
// JSON; what the calls mean is the business of the layers that the composition root binds. Loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/events.h"
#include "api/router.h"
#include "api/watch_query.h"
#include "base/result.h"
#include "plan/kind_spec.h"
#include "plan/scenario.h"
#include "store/audit.h"
#include "telemetry/exposition.h"
#include "telemetry/query.h"

namespace chaos {

/// The outcome of a dry run (Scenarios::PlanReport, without its header).
struct PlanOutcome {
  Scenario scenario;
  std::optional<Error> refusal;
};

/// What the routes need from the rest of the daemon. Every member must be set. Replies may come later, once, on the
/// loop thread.
struct Backend {
  using ScenarioReply = std::move_only_function<void(Result<Scenario>)>;
  using PlanReply = std::move_only_function<void(Result<PlanOutcome>)>;
  using JsonReply = std::move_only_function<void(Result<nlohmann::json>)>;
  using AuditReply = std::move_only_function<void(Result<std::vector<AuditEntry>>)>;
  using AuditVerifyReply = std::move_only_function<void(Result<AuditVerification>)>;

  // Scenarios, see fault/scenarios.h.
  std::function<void(ScenarioRequest, const Caller&, ScenarioReply)> start;
  std::function<void(ScenarioRequest, const Caller&, PlanReply)> plan;
  std::function<void(std::string_view id, InFlight, ScenarioReply)> stop;  ///< kNotFound: asks find() next
  std::function<std::vector<std::string>(std::string_view why)> emergency_stop;
  std::function<Status()> rearm;
  /// An array of scenarios, newest first; `include_ended`: with those that the history has.
  std::function<void(bool include_ended, JsonReply)> list;
  /// One scenario, running or from the history. Error: kNotFound.
  std::function<void(std::string id, JsonReply)> find;

  /// {"status","version","instance","armed","latched","latch_reason","active","lease_margin_ms","uptime_seconds",...}
  std::function<nlohmann::json()> health;
  std::function<std::vector<const KindSpec*>()> kinds;
  /// What the configuration says about a kind: {enabled,severity_levels,blast_radius_limit,bounds,severity}.
  std::function<nlohmann::json(std::string_view kind)> kind_policy;
  /// {"kernel":..., "features":[{name,available,reason,used_instead}]}
  std::function<void(JsonReply)> features;
  /// {"services":[{name,place,running,pids,...,touched_by}]}
  std::function<void(JsonReply)> services;
  // Telemetry, see telemetry/sampler.h.
  using TextReply = std::move_only_function<void(Result<std::string>)>;
  std::function<void(std::string pattern, TextReply)> metrics;  ///< JSON, as it goes out
  std::function<void(HistoryQuery, TextReply)> metric_history;  ///< JSON, as it goes out
  std::function<void(ExpositionFormat, TextReply)> exposition;
  /// eBPF telemetry, see api/watch_streams.h.
  std::function<void(WatchQuery, std::move_only_function<void(Result<HttpResponse>)>)> watch;
  /// {"clean":bool,"residue":[{class,id,detail}]}
  std::function<void(JsonReply)> residue;
  /// Newest first, at most `limit`; `before` > 0: only older ones than that.
  std::function<void(std::size_t limit, std::int64_t before, AuditReply)> audit;
  /// Checks the hash chain over the audit log. May take long; others are served meanwhile.
  std::function<void(AuditVerifyReply)> verify_audit;

  std::function<std::string()> log_level;
  std::function<Status(std::string_view level)> set_log_level;  ///< kInvalid with field `level` for unknown names
  /// Re-reads the configuration, or keeps the old one: {"reloaded":true,"warnings":[...]} or the error.
  std::function<void(JsonReply)> reload;
};

[[nodiscard]] nlohmann::json to_json(const AuditEntry& entry);
[[nodiscard]] nlohmann::json to_json(const AuditVerification& verification);

/// `version` is chaosd's, for the OpenAPI document. `backend` and `events` must outlive the table.
[[nodiscard]] std::vector<Route> make_routes(const Backend& backend, EventHub& events, std::string_view version);

}  // namespace chaos
