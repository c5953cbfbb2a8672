#include "ctl/problem.h"

#include <algorithm>
#include <array>

#include "ctl/json_text.h"
#include "ctl/text.h"

namespace chaos::ctl {
namespace {

// Type and title as the daemon's own problems have them (daemon/api/problem.cpp).
struct Class {
  Errc code;
  int status;
  Exit exit;
  std::string_view name;
  std::string_view title;
};

constexpr std::array kClasses{
    Class{Errc::kInvalid, 400, Exit::kUsage, "invalid", "The request is not valid"},
    Class{Errc::kNotFound, 404, Exit::kNotFound, "not-found", "There is no such thing"},
    Class{Errc::kDenied, 403, Exit::kDenied, "denied", "Your role does not allow this"},
    Class{Errc::kUnreachable, 503, Exit::kUnreachable, "unreachable", "The daemon cannot be reached"},
    Class{Errc::kRefused, 409, Exit::kRefused, "refused", "A limit or policy forbids this"},
    Class{Errc::kUnsupported, 501, Exit::kRefused, "unsupported", "This host cannot do that"},
    Class{Errc::kTooLarge, 413, Exit::kUsage, "too-large", "The request is too large"},
    Class{Errc::kUnavailable, 503, Exit::kFailed, "unavailable", "Not possible at the moment"},
    Class{Errc::kInternal, 500, Exit::kFailed, "failed", "Something failed"},
};

const Class& class_of(Errc code) {
  const auto found = std::ranges::find(kClasses, code, &Class::code);
  return found != kClasses.end() ? *found : kClasses.back();
}

// More of a foreign body (a proxy's HTML page, say) helps nobody.
constexpr std::size_t kForeignBodyLimit = 400;

}  // namespace

Exit exit_for(Errc code) { return class_of(code).exit; }

Exit exit_for_status(long http_status) {
  switch (http_status) {
    case 401:
    case 403:
      return Exit::kDenied;
    case 404:
      return Exit::kNotFound;
    case 409:
    case 423:
    case 429:
    case 501:
      return Exit::kRefused;
    default:
      return http_status >= 400 && http_status < 500 ? Exit::kUsage : Exit::kFailed;
  }
}

Problem problem_from(const Error& error) {
  const Class& cls = class_of(error.code);
  Problem result{cls.exit,
                 {{"type", "urn:chaosd:problem:" + std::string(cls.name)},
                  {"title", cls.title},
                  {"status", cls.status},
                  {"detail", error.message}},
                 error.sys_errno};
  if (!error.field.empty()) result.document["field"] = error.field;
  if (!error.rule.empty()) result.document["rule"] = error.rule;
  if (!error.hint.empty()) result.document["hint"] = error.hint;
  return result;
}

Problem problem_from_response(long http_status, std::string_view body) {
  const Exit exit = exit_for_status(http_status);
  Json document = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (document.is_object() && (document.contains("detail") || document.contains("title"))) {
    if (!document.contains("status")) document["status"] = http_status;
    return {exit, std::move(document), 0};
  }
  std::string detail = "the daemon answered HTTP status " + std::to_string(http_status);
  if (!body.empty()) detail += ": " + std::string(body.substr(0, kForeignBodyLimit));
  return {
      exit,
      {{"type", "about:blank"}, {"title", "Unexpected answer"}, {"status", http_status}, {"detail", std::move(detail)}},
      0};
}

std::unexpected<Problem> problem(Errc code, std::string message, std::string field, std::string rule,
                                 std::string hint) {
  return std::unexpected(problem_from(
      Error{code, std::move(message), std::move(field), std::move(rule), std::move(hint), /*sys_errno=*/0}));
}

std::string render(const Problem& problem) {
  const Json& document = problem.document;
  std::string detail = text_of(document, "detail");
  if (detail.empty()) detail = text_of(document, "title");
  std::string text = "chaosctl: " + printable_lines(detail) + "\n";
  for (const std::string_view key : {"field", "rule", "hint"}) {
    const std::string value = text_of(document, key);
    if (!value.empty()) text += "  " + std::string(key) + ": " + printable(value) + "\n";
  }
  return text;
}

}  // namespace chaos::ctl
