// The parameters that say how long something is held: `delay`, `jitter`, `distribution`, `table`. Constant data and
// pure functions; any thread.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "line/shapes.h"
#include "plan/parameters.h"

namespace chaos {

inline constexpr std::array<std::pair<std::string_view, Distribution>, 5> kDistributions{
    {{"uniform", Distribution::kUniform},
     {"normal", Distribution::kNormal},
     {"pareto", Distribution::kPareto},
     {"paretonormal", Distribution::kParetoNormal},
     {"empirical", Distribution::kEmpirical}}};
inline constexpr auto kDistributionNames = [] {
  std::array<std::string_view, kDistributions.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kDistributions[i].first;
  return names;
}();
inline constexpr std::array<std::string_view, 1> kEmpirical{"empirical"};
inline constexpr std::array<std::string_view, 4> kByJitter{"uniform", "normal", "pareto", "paretonormal"};

/// Error: kInvalid with the field.
[[nodiscard]] Result<DelayShape> delay_of(const Parameters& parameters);

}  // namespace chaos
