#include "api/handlers.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "api/problem.h"
#include "api/schema.h"
#include "base/clock.h"

namespace chaos {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxReason = 1024;
constexpr std::size_t kAuditDefault = 100;
constexpr std::size_t kAuditMost = 1000;

Result<bool> bool_query(const HttpRequest& request, const std::string& name, bool otherwise) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return otherwise;
  if (found->second == "true") return true;
  if (found->second == "false") return false;
  return fail(Errc::kInvalid, name + " is \"" + found->second + "\"", "query." + name, "true or false");
}

template <class T>
Result<std::optional<T>> number_query(const HttpRequest& request, const std::string& name, T least, T most) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return std::optional<T>();
  const std::string& text = found->second;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return fail(Errc::kInvalid, name + " is \"" + text + "\"", "query." + name,
                "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return std::optional<T>(value);
}

/// The body as an object with these fields at most; {} if there is none.
Result<json> small_body(const HttpRequest& request, std::span<const std::string_view> allowed) {
  if (request.body.empty()) return json::object();
  auto body = parse_json(request.body);
  if (!body) return body;
  if (auto status = check_object(*body, allowed); !status) return std::unexpected(std::move(status.error()));
  return body;
}

Result<InFlight> in_flight_of(const Result<json>& body) {
  if (!body) return std::unexpected(body.error());
  const auto drop = body->find("drop_in_flight");
  if (drop == body->end()) return InFlight::kLetGo;
  if (!drop->is_boolean())
    return fail(Errc::kInvalid, "drop_in_flight is no boolean", "drop_in_flight", "true or false");
  return drop->get<bool>() ? InFlight::kDrop : InFlight::kLetGo;
}

/// One line for the audit log: what would be done to what.
std::string describe(const ScenarioRequest& request) {
  std::string text = request.kind + " on";
  for (const auto& [key, values] : request.target) {
    for (const auto& value : values) text += fmt::format(" {}={}", key, value);
  }
  text += ":";
  for (const auto& [name, value] : request.parameters) text += fmt::format(" {}={}", name, value);
  const json rest = to_json(request);
  for (const char* name : {"severity", "duration", "seed", "mode", "reason"}) {
    const auto field = rest.find(name);
    if (field == rest.end()) continue;
    text += fmt::format(" {}={}", name, field->is_string() ? field->get<std::string>() : field->dump());
  }
  return text;
}

HttpResponse noted(HttpResponse response, std::string scenario_id, std::string detail) {
  response.audit = {std::move(scenario_id), std::move(detail)};
  return response;
}

/// A reply that passes JSON on, or the error as a problem.
Backend::JsonReply pass_on(const HttpRequest& request, Respond respond) {
  return [id = request.request_id, respond = std::move(respond)](Result<json> result) mutable {
    respond(result ? json_response(200, *result) : problem_response(std::move(result.error()), id));
  };
}

Result<std::string> level_of(const Result<json>& body) {
  if (!body) return std::unexpected(body.error());
  if (!body->contains("level")) return fail(Errc::kInvalid, "level is missing", "level", "required");
  return text_from_json((*body)["level"], "level", kMaxReason);
}

Result<ScenarioRequest> scenario_of(const HttpRequest& request) {
  const auto body = parse_json(request.body);
  if (!body) return std::unexpected(body.error());
  return scenario_request_from_json(*body);
}

}  // namespace

void Handlers::health(const HttpRequest&, Respond respond) const { respond(json_response(200, backend_.health())); }

void Handlers::list(const HttpRequest& request, Respond respond) const {
  const auto all = bool_query(request, "all", false);
  if (!all) return respond(problem_response(all.error(), request.request_id));
  backend_.list(*all, [id = request.request_id, respond = std::move(respond)](Result<json> scenarios) mutable {
    respond(scenarios ? json_response(200, {{"scenarios", std::move(*scenarios)}})
                      : problem_response(std::move(scenarios.error()), id));
  });
}

void Handlers::find(const HttpRequest& request, Respond respond) const {
  backend_.find(request.params.at("id"), pass_on(request, std::move(respond)));
}

void Handlers::start(const HttpRequest& request, Respond respond) const {
  auto asked = scenario_of(request);
  if (!asked) return respond(problem_response(std::move(asked.error()), request.request_id));
  std::string detail = describe(*asked).substr(0, kMaxAuditDetail);
  backend_.start(std::move(*asked), request.caller,
                 [id = request.request_id, detail = std::move(detail),
                  respond = std::move(respond)](Result<Scenario> scenario) mutable {
                   if (!scenario) return respond(noted(problem_response(std::move(scenario.error()), id), "", detail));
                   auto response = json_response(201, to_json(*scenario));
                   response.headers.emplace_back("Location", "/api/chaos/scenarios/" + scenario->id);
                   respond(noted(std::move(response), scenario->id, detail));
                 });
}

void Handlers::plan(const HttpRequest& request, Respond respond) const {
  auto asked = scenario_of(request);
  if (!asked) return respond(problem_response(std::move(asked.error()), request.request_id));
  backend_.plan(std::move(*asked), request.caller,
                [id = request.request_id, respond = std::move(respond)](Result<PlanOutcome> outcome) mutable {
                  if (!outcome) return respond(problem_response(std::move(outcome.error()), id));
                  json body{{"admitted", !outcome->refusal}, {"scenario", to_json(outcome->scenario)}};
                  if (outcome->refusal) body["refusal"] = to_json(problem_of(std::move(*outcome->refusal)), id);
                  respond(json_response(200, body));
                });
}

void Handlers::stop(const HttpRequest& request, Respond respond) const {
  constexpr std::array<std::string_view, 1> kFields = {"drop_in_flight"};
  const auto held = in_flight_of(small_body(request, kFields));
  if (!held) return respond(problem_response(held.error(), request.request_id));
  const std::string& scenario = request.params.at("id");
  backend_.stop(scenario, *held,
                [find = backend_.find, scenario, id = request.request_id,
                 respond = std::move(respond)](Result<Scenario> result) mutable {
                  if (result) return respond(json_response(200, to_json(*result)));
                  if (result.error().code != Errc::kNotFound) {
                    return respond(problem_response(std::move(result.error()), id));
                  }
                  // One of an earlier run has ended as well: its record is the answer.
                  find(scenario, [id, respond = std::move(respond)](Result<json> record) mutable {
                    respond(record ? json_response(200, *record) : problem_response(std::move(record.error()), id));
                  });
                });
}

void Handlers::emergency_stop(const HttpRequest& request, Respond respond) const {
  // Stops whatever the body holds: nobody should have to get JSON right in an emergency.
  constexpr std::array<std::string_view, 1> kFields = {"reason"};
  json answer = json::object();
  std::string why = "emergency stop by " + request.caller.user;
  const auto body = small_body(request, kFields);
  const auto reason = !body || !body->contains("reason") ? Result<std::string>()
                                                         : text_from_json((*body)["reason"], "reason", kMaxReason);
  if (!body) answer["warnings"] = json::array({"body ignored: " + body.error().message});
  if (!reason) answer["warnings"] = json::array({"reason ignored: " + reason.error().message});
  if (reason && !reason->empty()) why += ": " + *reason;

  const auto stopped = backend_.emergency_stop(why);
  answer["stopped"] = stopped;
  answer["latched"] = true;
  respond(noted(json_response(200, answer), "", why + "; ended " + std::to_string(stopped.size())));
}

void Handlers::rearm(const HttpRequest& request, Respond respond) const {
  if (auto status = backend_.rearm(); !status) {
    return respond(problem_response(std::move(status.error()), request.request_id));
  }
  respond(json_response(200, {{"latched", false}}));
}

void Handlers::kinds(const HttpRequest&, Respond respond) const {
  json list = json::array();
  for (const KindSpec* kind : backend_.kinds()) list.push_back(to_json(*kind, backend_.kind_policy(kind->name)));
  respond(json_response(200, {{"kinds", std::move(list)}, {"common_parameters", common_parameters_json()}}));
}

void Handlers::features(const HttpRequest& request, Respond respond) const {
  backend_.features(pass_on(request, std::move(respond)));
}

void Handlers::services(const HttpRequest& request, Respond respond) const {
  backend_.services(pass_on(request, std::move(respond)));
}

void Handlers::residue(const HttpRequest& request, Respond respond) const {
  backend_.residue(pass_on(request, std::move(respond)));
}

void Handlers::follow(const HttpRequest& request, Respond respond) const {
  auto last = number_query<std::uint64_t>(request, "last_event_id", 0, UINT64_MAX);
  // The header is what a browser sends by itself when it comes back: newer than the query of its first request. One
  // that is not ours counts as unknown.
  if (const auto header = request.headers.find("last-event-id"); last && header != request.headers.end()) {
    HttpRequest other;
    other.query["last_event_id"] = header->second;
    last = number_query<std::uint64_t>(other, "last_event_id", 0, UINT64_MAX).value_or(UINT64_MAX);
  }
  const auto go_on = bool_query(request, "follow", true);
  if (!last) return respond(problem_response(last.error(), request.request_id));
  if (!go_on) return respond(problem_response(go_on.error(), request.request_id));
  auto stream = events_.subscribe(*last, *go_on);
  if (!stream) return respond(problem_response(std::move(stream.error()), request.request_id));
  HttpResponse response;
  response.headers = {{"Content-Type", "text/event-stream"}};
  response.stream = std::move(*stream);
  respond(std::move(response));
}

void Handlers::audit(const HttpRequest& request, Respond respond) const {
  const auto limit = number_query<std::size_t>(request, "limit", 1, kAuditMost);
  if (!limit) return respond(problem_response(limit.error(), request.request_id));
  const auto before = number_query<std::int64_t>(request, "before", 1, INT64_MAX);
  if (!before) return respond(problem_response(before.error(), request.request_id));
  backend_.audit(limit->value_or(kAuditDefault), before->value_or(0),
                 [id = request.request_id, respond = std::move(respond)](auto result) mutable {
                   if (!result) return respond(problem_response(std::move(result.error()), id));
                   json entries = json::array();
                   for (const AuditEntry& entry : *result) entries.push_back(to_json(entry));
                   respond(json_response(200, {{"entries", std::move(entries)}}));
                 });
}

void Handlers::verify_audit(const HttpRequest& request, Respond respond) const {
  backend_.verify_audit([id = request.request_id, respond = std::move(respond)](auto result) mutable {
    respond(result ? json_response(200, to_json(*result)) : problem_response(std::move(result.error()), id));
  });
}

void Handlers::log_level(const HttpRequest&, Respond respond) const {
  respond(json_response(200, {{"level", backend_.log_level()}}));
}

void Handlers::set_log_level(const HttpRequest& request, Respond respond) const {
  constexpr std::array<std::string_view, 1> kFields = {"level"};
  const auto level = level_of(small_body(request, kFields));
  if (!level) return respond(problem_response(level.error(), request.request_id));
  if (auto status = backend_.set_log_level(*level); !status) {
    return respond(noted(problem_response(std::move(status.error()), request.request_id), "", "level=" + *level));
  }
  respond(noted(json_response(200, {{"level", backend_.log_level()}}), "", "level=" + *level));
}

void Handlers::reload(const HttpRequest& request, Respond respond) const {
  backend_.reload(pass_on(request, std::move(respond)));
}

}  // namespace chaos
