// Result and Error: how every layer below main reports failure. Values only; no thread, no ownership.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace chaos {

/// What went wrong, in classes that the API turns into a status and chaosctl into an exit code.
enum class Errc {
  kInvalid,      ///< bad input: 400, exit 2
  kNotFound,     ///< no such scenario, target, kind: 404, exit 3
  kDenied,       ///< the caller's role does not allow it: 403, exit 4
  kUnreachable,  ///< the daemon does not answer (client side only), exit 5
  kRefused,      ///< a limit or policy forbids it: 409, exit 6
  kUnsupported,  ///< this kernel or host cannot do it: 501, exit 6
  kTooLarge,     ///< request over a size limit: 413
  kUnavailable,  ///< temporarily impossible: 503
  kInternal,     ///< a syscall or library failed: 500, exit 1
};

/// One clear error: which field, which rule, what to do. Context is added in front on the way up.
struct Error {
  Errc code = Errc::kInternal;
  std::string message;  ///< complete sentence fragment, for people
  std::string field{};  ///< the input field at fault (`parameters.probability`), empty if none
  std::string rule{};   ///< the rule that was broken (`max 100%`), empty if none
  std::string hint{};   ///< what to do about it, empty if nothing helps
  int sys_errno = 0;    ///< errno of the failed call, 0 if none
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::kInvalid, "...")` in any function that returns a Result.
[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string message, std::string field = {},
                                                 std::string rule = {}, std::string hint = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(field), std::move(rule), std::move(hint), 0});
}

/// Error of a failed system call: "<what>: <ERRNO NAME> (<description>)". Reads `err` (default: errno).
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what, int err = errno);

/// Puts "<what>: " before the message and passes everything else on.
[[nodiscard]] inline std::unexpected<Error> with_context(std::string_view what, Error error) {
  error.message = std::string(what) + ": " + error.message;
  return std::unexpected(std::move(error));
}

/// Symbolic errno name ("EPERM"); the number in decimal where glibc knows no name.
[[nodiscard]] std::string errno_name(int err);

}  // namespace chaos
