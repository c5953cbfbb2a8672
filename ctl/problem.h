// Problem: a failure as chaosctl reports it: an RFC 9457 document for scripts and the exit code that goes with it.
// Values only; any thread.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace chaos::ctl {

/// Keeps the order in which the daemon names its fields.
using Json = nlohmann::ordered_json;

/// CONTRACT's exit codes. kInterrupted is what a shell reports for a command that Ctrl-C ended.
enum class Exit : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kDenied = 4,
  kUnreachable = 5,
  kRefused = 6,
  kInterrupted = 130,
};

struct Problem {
  Exit exit = Exit::kFailed;
  Json document;      ///< members type, title, status, detail; field, rule and hint where they are known
  int sys_errno = 0;  ///< of the failed connection (ENOENT, ECONNREFUSED, EACCES, ETIMEDOUT), 0 if none
};

template <class T>
using Outcome = std::expected<T, Problem>;

[[nodiscard]] Exit exit_for(Errc code);
/// 401 and 403 are the role, 404 not found, 409, 423, 429 and 501 refusals, other 4xx bad input, the rest failures.
[[nodiscard]] Exit exit_for_status(long http_status);

[[nodiscard]] Problem problem_from(const Error& error);
/// From an answer that is not 2xx. A body that is no problem document becomes the detail of one.
[[nodiscard]] Problem problem_from_response(long http_status, std::string_view body);

/// `return problem(Errc::kInvalid, "...")` in any function that returns an Outcome.
[[nodiscard]] std::unexpected<Problem> problem(Errc code, std::string message, std::string field = {},
                                               std::string rule = {}, std::string hint = {});

/// For people, several lines: the detail, then field, rule and hint where present.
[[nodiscard]] std::string render(const Problem& problem);

}  // namespace chaos::ctl
