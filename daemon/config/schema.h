// The schema: one table with every key of chaosd.yaml: path, type, range, default, whether it has an effect yet. The
// checker, the rules, the manual's test and `config check` all read this table. Constant data, any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/value.h"

namespace chaos {

/// What the wildcards of a path stood for, in order ("packet_loss", "probability"); a list element counts as a number.
using Names = std::span<const std::string>;
using Values = std::span<const Value>;

enum class Effect {
  kNow,
  kLater,    ///< parsed, checked, kept, reported as "not in effect yet"
  kPerKind,  ///< now for the kinds that this version can inject
};

/// One key. A path segment in capitals stands for a name (KIND, PARAMETER, SERVICE, METRIC), "[]" for a list element.
/// Texts are written as in the file.
struct KeySpec {
  std::string_view path;
  ValueType type = ValueType::kText;
  bool list = false;                 ///< a list of `type`
  std::string_view default_value{};  ///< empty: none (unset, or required)
  std::string_view minimum{};        ///< inclusive unless above_minimum
  std::string_view maximum{};        ///< inclusive
  bool above_minimum = false;
  std::span<const std::string_view> choices{};
  bool required = false;      ///< within its section
  std::size_t min_items = 0;  ///< of a list
  bool unique = false;        ///< no element twice
  Effect effect = Effect::kLater;
  std::string_view help{};
  /// Stores checked values; used by the loader only.
  void (*set)(Config&, Names, Values) = nullptr;
};

/// Every key, in the order of the manual.
[[nodiscard]] std::span<const KeySpec> config_schema();

/// "chaos_testing.scenarios.KIND.enabled" → its segments; "webhooks[].url" → webhooks, [], url.
[[nodiscard]] std::vector<std::string_view> path_segments(std::string_view path);
/// A segment that stands for any name.
[[nodiscard]] bool is_wildcard(std::string_view segment);
/// Whether the key has an effect in this version, for the names that its wildcards stand for.
[[nodiscard]] bool in_effect(const KeySpec& key, Names names);
/// "duration, 1ms to 168h, default 300": type, range and default in one line.
[[nodiscard]] std::string summary(const KeySpec& key);

}  // namespace chaos
