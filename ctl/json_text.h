// Reading of the daemon's JSON for people: tolerant of missing and unexpected members, since daemon and chaosctl may be
// of different versions. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ctl/problem.h"

namespace chaos::ctl {

/// Strings as they are, numbers and booleans in JSON's form, null "", lists joined by ", ", objects "key=value, ...".
[[nodiscard]] std::string text_of(const Json& value);
/// Member `key` of an object; "" if there is none.
[[nodiscard]] std::string text_of(const Json& object, std::string_view key);
/// Member `key`; a null value if there is none or `object` is no object.
[[nodiscard]] const Json& member(const Json& object, std::string_view key);
/// The list at `key`; empty if there is none.
[[nodiscard]] const Json& list_at(const Json& object, std::string_view key);
/// The unsigned number at `key`; 0 if there is none.
[[nodiscard]] std::uint64_t number_at(const Json& object, std::string_view key);
[[nodiscard]] bool flag_at(const Json& object, std::string_view key);

/// "interface=eth0 port=80,443": the target keys of a scenario on one line.
[[nodiscard]] std::string target_text(const Json& target);

}  // namespace chaos::ctl
