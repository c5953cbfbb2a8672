// brake_call: the one request that may not wait for a library. Loading libcurl takes longer than the whole emergency
// stop may; this sends one POST by hand and reads one answer. One thread; nothing stays open.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "ctl/problem.h"

namespace chaos::ctl {

/// POSTs `body` to `path` on the Unix socket and waits at most `timeout` for the whole answer. What goes wrong is
/// reported as Client reports it: kDenied, kUnreachable, or the daemon's own problem document.
Outcome<Json> brake_call(const std::string& socket, std::string_view path, const Json& body,
                         std::chrono::milliseconds timeout);

}  // namespace chaos::ctl
