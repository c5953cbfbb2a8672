#include "api/problem.h"

#include <utility>

namespace chaos {
namespace {

struct Class {
  int status;
  std::string_view name;
  std::string_view title;
};

Class class_of(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return {400, "invalid", "The request is not valid"};
    case Errc::kNotFound:
      return {404, "not-found", "There is no such thing"};
    case Errc::kDenied:
      return {403, "denied", "Your role does not allow this"};
    case Errc::kRefused:
      return {409, "refused", "A limit or policy forbids this"};
    case Errc::kUnsupported:
      return {501, "unsupported", "This host cannot do that"};
    case Errc::kTooLarge:
      return {413, "too-large", "The request is too large"};
    case Errc::kUnavailable:
      return {503, "unavailable", "Not possible at the moment"};
    case Errc::kUnreachable:  // client side only
    case Errc::kInternal:
      break;
  }
  return {500, "internal", "Something failed inside chaosd"};
}

}  // namespace

Problem problem_of(Error error) {
  const Class what = class_of(error.code);
  return {what.status, std::string(what.name), std::string(what.title), std::move(error)};
}

nlohmann::json to_json(const Problem& problem, std::string_view request_id) {
  nlohmann::json json{{"type", "urn:chaosd:problem:" + problem.name},
                      {"title", problem.title},
                      {"status", problem.status},
                      {"detail", problem.error.message}};
  const auto put = [&json](const char* name, std::string_view value) {
    if (!value.empty()) json[name] = value;
  };
  put("field", problem.error.field);
  put("rule", problem.error.rule);
  put("hint", problem.error.hint);
  put("request_id", request_id);
  return json;
}

HttpResponse problem_response(const Problem& problem, std::string_view request_id) {
  HttpResponse response = json_response(problem.status, to_json(problem, request_id));
  response.headers = {{"Content-Type", "application/problem+json"}};
  return response;
}

HttpResponse problem_response(Error error, std::string_view request_id) {
  return problem_response(problem_of(std::move(error)), request_id);
}

HttpResponse json_response(int status, const nlohmann::json& body) {
  HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}};
  response.body = dump_json(body) + "\n";
  return response;
}

std::string dump_json(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace chaos
