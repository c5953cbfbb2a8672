// The kinds and parameters of CONTRACT as configuration knows them: enough to check `scenarios.KIND.bounds` and
// `.severity` by name and form. What a parameter means is the registry's (fault/), which lies above this layer.
// Constant data, any thread.
#pragma once

#include <span>
#include <string_view>

namespace chaos {

enum class ParameterForm { kProbability, kDuration, kInteger, kBytes, kBitRate, kPercent, kChoice, kText };

struct KindParameter {
  std::string_view name;
  ParameterForm form;
  std::span<const std::string_view> choices{};
};

struct KindEntry {
  std::string_view name;
  bool in_effect;                             ///< this version can inject it
  std::span<const KindParameter> parameters;  ///< without those that all kinds have
};

[[nodiscard]] std::span<const KindEntry> config_kinds();
/// Null if there is none.
[[nodiscard]] const KindEntry* find_config_kind(std::string_view name);
/// Parameters of the kind itself and those of all kinds (max_events). Null if there is none.
[[nodiscard]] const KindParameter* find_config_parameter(const KindEntry& kind, std::string_view name);
/// Parameters with an order can be bounded; choices and texts cannot.
[[nodiscard]] bool can_be_bounded(ParameterForm form);

}  // namespace chaos
