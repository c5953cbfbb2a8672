// Handlers of /api/monitoring and /metrics.
#include "api/handlers.h"
#include "api/problem.h"
#include "base/units.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kUsualSpan = std::chrono::minutes(10);
constexpr milliseconds kLongestSpan = std::chrono::hours(87'600);

/// JSON, as it goes out.
Backend::TextReply pass_on(const HttpRequest& request, Respond respond) {
  return [id = request.request_id, respond = std::move(respond)](Result<std::string> text) mutable {
    if (!text) return respond(problem_response(std::move(text.error()), id));
    HttpResponse response;
    response.headers = {{"Content-Type", "application/json"}};
    response.body = std::move(*text);
    respond(std::move(response));
  };
}

std::string text_query(const HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

Result<milliseconds> span_query(const HttpRequest& request, const std::string& name, milliseconds otherwise) {
  const std::string text = text_query(request, name);
  if (text.empty()) return otherwise;
  const auto span = parse_duration(text);
  if (!span || *span > kLongestSpan) {
    return fail(Errc::kInvalid, name + " is \"" + text + "\"", "query." + name, "a duration, at most 87600h",
                "for example 10m or 2d");
  }
  return std::chrono::duration_cast<milliseconds>(*span);
}

/// "NAME=VALUE,NAME=VALUE"
Result<std::map<std::string, std::string>> labels_query(const HttpRequest& request) {
  std::map<std::string, std::string> labels;
  std::string rest = text_query(request, "labels");
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string one = rest.substr(0, comma);
    rest.erase(0, comma + 1);
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Errc::kInvalid, "labels has \"" + one + "\"", "query.labels", "NAME=VALUE,NAME=VALUE");
    }
    labels[one.substr(0, equals)] = one.substr(equals + 1);
  }
  return labels;
}

/// A value that is given and empty is a slip, not a default.
Status none_is_empty(const HttpRequest& request) {
  for (const auto& [name, value] : request.query) {
    if (value.empty()) {
      return fail(Errc::kInvalid, name + " is empty", "query." + name, "a value", "give one, or leave it out");
    }
  }
  return {};
}

Result<HistoryQuery> history_query(const HttpRequest& request) {
  HistoryQuery query;
  if (const Status given = none_is_empty(request); !given) return std::unexpected(given.error());
  query.metric = text_query(request, "metric");
  if (query.metric.empty()) return fail(Errc::kInvalid, "metric is missing", "query.metric", "required");
  auto labels = labels_query(request);
  if (!labels) return std::unexpected(labels.error());
  query.labels = std::move(*labels);
  const auto since = span_query(request, "since", kUsualSpan);
  if (!since) return std::unexpected(since.error());
  query.since = *since;
  const auto step = span_query(request, "step", milliseconds(0));
  if (!step) return std::unexpected(step.error());
  query.step = *step;
  if (const std::string how = text_query(request, "aggregation"); !how.empty()) {
    const auto aggregation = aggregation_from(how);
    if (!aggregation) return std::unexpected(aggregation.error());
    query.how = *aggregation;
  }
  return query;
}

}  // namespace

void Handlers::metrics(const HttpRequest& request, Respond respond) const {
  backend_.metrics(text_query(request, "pattern"), pass_on(request, std::move(respond)));
}

void Handlers::metric_history(const HttpRequest& request, Respond respond) const {
  auto query = history_query(request);
  if (!query) return respond(problem_response(std::move(query.error()), request.request_id));
  backend_.metric_history(std::move(*query), pass_on(request, std::move(respond)));
}

void Handlers::watch(WatchKind kind, const HttpRequest& request, Respond respond) const {
  auto query = watch_query(kind, request);
  if (!query) return respond(problem_response(std::move(query.error()), request.request_id));
  backend_.watch(std::move(*query),
                 [id = request.request_id, respond = std::move(respond)](Result<HttpResponse> answer) mutable {
                   respond(answer ? std::move(*answer) : problem_response(std::move(answer.error()), id));
                 });
}

void Handlers::watch_drops(const HttpRequest& request, Respond respond) const {
  watch(WatchKind::kDrops, request, std::move(respond));
}

void Handlers::watch_tcp(const HttpRequest& request, Respond respond) const {
  watch(WatchKind::kTcp, request, std::move(respond));
}

void Handlers::watch_syscalls(const HttpRequest& request, Respond respond) const {
  watch(WatchKind::kSyscalls, request, std::move(respond));
}

void Handlers::exposition(const HttpRequest& request, Respond respond) const {
  const auto accept = request.headers.find("accept");
  const ExpositionFormat format = negotiate(accept == request.headers.end() ? "" : accept->second);
  backend_.exposition(
      format, [format, id = request.request_id, respond = std::move(respond)](Result<std::string> text) mutable {
        if (!text) return respond(problem_response(std::move(text.error()), id));
        HttpResponse response;
        response.headers = {{"Content-Type", std::string(content_type(format))}};
        response.body = std::move(*text);
        respond(std::move(response));
      });
}

}  // namespace chaos
