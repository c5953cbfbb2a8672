// brake_call: the one request that may not wait for a library. Loading libcurl takes longer than the whole emergency
// stop may; this sends one POST by hand, unless the front program has done so, and reads one answer. One thread;
// nothing stays open.
#pragma once

#include <chrono>
#include <string>

#include "ctl/problem.h"

namespace chaos::ctl {

/// Asks the daemon for an emergency stop, or goes on with the request that the front program has sent ahead
/// (kSentVariable), and waits at most `timeout` for the whole answer. What goes wrong is reported as Client reports it:
/// kDenied, kUnreachable, or the daemon's own problem document.
Outcome<Json> brake_call(const std::string& socket, const std::string& reason, std::chrono::milliseconds timeout);

}  // namespace chaos::ctl
