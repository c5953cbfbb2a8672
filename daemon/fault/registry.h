// The registry: every kind of fault, one line each. Constant; any thread.
#pragma once

#include <span>
#include <string_view>

#include "fault/kind.h"

namespace chaos {

[[nodiscard]] std::span<const FaultKind* const> fault_kinds();
/// Error: kInvalid with the names that exist.
[[nodiscard]] Result<const FaultKind*> find_kind(std::string_view name);

}  // namespace chaos
