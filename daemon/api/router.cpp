#include "api/router.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "api/problem.h"

namespace chaos {
namespace {

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (true) {
    const auto slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

/// The values of `{name}` segments; nullopt if `path` does not fit.
std::optional<std::map<std::string, std::string>> fit(std::string_view pattern, std::string_view path) {
  const auto wanted = segments_of(pattern);
  const auto given = segments_of(path);
  if (wanted.size() != given.size()) return std::nullopt;
  std::map<std::string, std::string> params;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].starts_with('{')) {
      if (given[i].empty()) return std::nullopt;
      params.emplace(wanted[i].substr(1, wanted[i].size() - 2), given[i]);
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return params;
}

Error denied(const HttpRequest& request, Role needed) {
  if (request.role == Role::kNone) {
    return {.code = Errc::kDenied,
            .message = "user " + request.caller.user + " has no role here",
            .rule = "root, or a member of the groups that the api section of chaosd.yaml names",
            .hint = "ask an administrator for group chaos-view (to read) or chaos (to operate)"};
  }
  if (request.view_only) {
    return {.code = Errc::kDenied,
            .message = "the view socket serves GET only",
            .rule = "GET only",
            .hint = "use chaosd.sock"};
  }
  return {.code = Errc::kDenied,
          .message = "user " + request.caller.user + " may read but not operate",
          .rule = "role " + std::string(to_string(needed)),
          .hint = "ask an administrator for group chaos"};
}

HttpResponse not_allowed(const HttpRequest& request, const std::string& allow) {
  auto response = problem_response(
      Problem{.status = 405,
              .name = "method-not-allowed",
              .title = "The method does not fit the path",
              .error = {.message = request.method + " is not possible on " + request.path, .rule = "one of " + allow}},
      request.request_id);
  response.headers.emplace_back("Allow", allow);
  return response;
}

constexpr std::size_t kMaxAction = 256;

std::string problem_detail(const HttpResponse& response) {
  if (response.status < 400) return {};
  const auto body = nlohmann::json::parse(response.body, nullptr, false);
  return body.is_object() ? body.value("detail", "") : std::string();
}

std::string action_of(const HttpRequest& request, const Route* route) {
  if (route != nullptr) return std::string(route->operation);
  return (request.method + " " + request.path).substr(0, kMaxAction);
}

std::optional<Error> unknown_query(const HttpRequest& request, const Route& route) {
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(route.query, name, &QueryParam::name) != route.query.end()) continue;
    std::string known;
    for (const auto& param : route.query) known += (known.empty() ? "" : ", ") + std::string(param.name);
    return Error{.code = Errc::kInvalid,
                 .message = "unknown query parameter \"" + name + "\"",
                 .field = "query." + name,
                 .rule = known.empty() ? "no query parameters" : "one of " + known};
  }
  return std::nullopt;
}

}  // namespace

AuditEntry origin_of(const HttpRequest& request, std::string action) {
  AuditEntry entry;
  entry.request_id = request.request_id;
  entry.uid = request.caller.uid;
  entry.user = request.caller.user;
  entry.login_uid = request.caller.login_uid;
  entry.pid = request.caller.pid;
  entry.comm = request.caller.comm;
  entry.socket = request.socket;
  entry.action = std::move(action);
  if (const auto id = request.params.find("id"); id != request.params.end()) entry.scenario_id = id->second;
  return entry;
}

struct Router::Match {
  const Route* route = nullptr;
  std::map<std::string, std::string> params;
  std::string allow;  ///< methods that the path has, if it has any
};

struct Router::Auditor {
  Auditor(AuditSink s, const Clock& c) : sink(std::move(s)), clock(c) {}

  void write(AuditEntry entry, const HttpResponse& response) const {
    entry.time = clock.wall();
    entry.status = response.status;
    if (entry.scenario_id.empty()) entry.scenario_id = response.audit.scenario_id;
    entry.detail = response.audit.detail;
    if (const std::string why = problem_detail(response); !why.empty()) {
      entry.detail += (entry.detail.empty() ? "" : ": ") + why;
    }
    if (entry.detail.size() > kMaxAuditDetail) entry.detail.resize(kMaxAuditDetail);
    sink(std::move(entry));
  }

  AuditSink sink;
  const Clock& clock;
};

Router::Router(std::vector<Route> routes, IdempotencyTable& idempotency, AuditSink audit, const Clock& clock)
    : routes_(std::move(routes)),
      idempotency_(idempotency),
      auditor_(std::make_shared<Auditor>(std::move(audit), clock)) {}

Router::Match Router::match(const HttpRequest& request) const {
  Match match;
  for (const Route& route : routes_) {
    auto params = fit(route.pattern, request.path);
    if (!params) continue;
    match.allow += (match.allow.empty() ? "" : ", ") + std::string(route.method);
    if (route.method != request.method) continue;
    match.route = &route;
    match.params = std::move(*params);
  }
  return match;
}

void Router::dispatch(HttpRequest request, Respond respond) {
  Match found = match(request);
  request.params = std::move(found.params);
  const Role needed = found.route != nullptr ? found.route->role : Role::kView;
  if (request.role < needed || (request.view_only && request.method != "GET")) {
    auto response = problem_response(denied(request, needed), request.request_id);
    auditor_->write(origin_of(request, action_of(request, found.route)), response);
    return respond(std::move(response));
  }
  if (found.allow.empty()) {
    return respond(problem_response(Error{.code = Errc::kNotFound,
                                          .message = "there is no " + request.path,
                                          .hint = "GET /openapi.json lists what there is"},
                                    request.request_id));
  }
  if (found.route == nullptr) return respond(not_allowed(request, found.allow));
  if (auto error = unknown_query(request, *found.route)) {
    return respond(problem_response(std::move(*error), request.request_id));
  }
  call(*found.route, request, std::move(respond));
}

void Router::call(const Route& route, const HttpRequest& request, Respond respond) {
  // Shared, so that it can still be answered when the handler that has taken it throws.
  struct Answer {
    Respond respond;
    AuditEntry origin;
  };
  auto answer = std::make_shared<Answer>(Answer{std::move(respond), origin_of(request, action_of(request, &route))});
  const std::weak_ptr<Auditor> audited = route.audited ? auditor_ : nullptr;
  const auto once = [answer, audited](HttpResponse response) {
    auto inner = std::exchange(answer->respond, nullptr);
    if (!inner) return;
    if (const auto auditor = audited.lock()) auditor->write(answer->origin, response);
    inner(std::move(response));
  };
  try {
    if (route.idempotency_key) {
      idempotency_.run(request, route.handler, once);
    } else {
      route.handler(request, once);
    }
  } catch (const std::exception& e) {
    once(problem_response(Error{.message = std::string(route.operation) + ": " + e.what()}, request.request_id));
  }
}

}  // namespace chaos
