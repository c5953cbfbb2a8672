// A listening TCP socket, for what is served without a login: /metrics. Any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

/// "127.0.0.1:9750", "[::1]:9750", "localhost:9750". Errors: kInvalid (no such address), kRefused (in use), kInternal.
[[nodiscard]] Result<UniqueFd> listen_on_tcp(const std::string& address);

}  // namespace chaos
