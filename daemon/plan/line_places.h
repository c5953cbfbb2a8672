// Line places: at which interfaces packets can be held in a delay line, and why not at others. Pure functions; any
// thread.
#pragma once

#include <string>

#include "kernel/interfaces.h"

namespace chaos {

/// Why packets cannot be held there; empty: they can.
[[nodiscard]] std::string why_no_line(const Interface& interface);

/// Why what arrives there cannot be held for sockets, where what is sent can be; empty: it can.
[[nodiscard]] std::string why_no_receiver(const Interface& interface);

}  // namespace chaos
