// ULIDs: globally unique, time-ordered ids of scenarios and requests. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace chaos {

/// 26 characters, Crockford base32 (github.com/ulid/spec): 48 bits of Unix ms, 80 random bits from getrandom(2).
[[nodiscard]] std::string make_ulid();
/// True if `text` has the form of a ULID (case-insensitive).
[[nodiscard]] bool is_ulid(std::string_view text);

}  // namespace chaos
