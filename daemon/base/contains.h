// contains(): std::ranges::contains, which GCC 12's library does not have yet.
#pragma once

#include <algorithm>
#include <functional>
#include <ranges>

namespace chaos {

template <std::ranges::input_range Range, class Value, class Projection = std::identity>
[[nodiscard]] constexpr bool contains(Range&& range, const Value& value, Projection projection = {}) {
  return std::ranges::find(range, value, projection) != std::ranges::end(range);
}

}  // namespace chaos
