// Nearest names, for "did you mean". Pure functions, any thread.
#pragma once

#include <span>
#include <string_view>

namespace chaos {

/// The candidate that `text` is most likely a slip of: fewest insertions, deletions, replacements and swaps of
/// neighbours, case and `-`/`_` aside; at most a third of the length. Empty if none is near.
[[nodiscard]] std::string_view nearest_name(std::string_view text, std::span<const std::string_view> candidates);

}  // namespace chaos
