#include "base/result.h"

#include <cstring>

namespace chaos {

std::string errno_name(int err) {
  const char* name = strerrorname_np(err);
  return name != nullptr ? std::string(name) : std::to_string(err);
}

std::unexpected<Error> fail_errno(std::string_view what, int err) {
  const char* description = strerrordesc_np(err);
  Error error;
  // Never kDenied: a daemon that lacks a privilege is not a caller who lacks a role.
  error.message = std::string(what) + ": " + errno_name(err);
  if (description != nullptr) error.message += std::string(" (") + description + ")";
  error.sys_errno = err;
  return std::unexpected(std::move(error));
}

}  // namespace chaos
