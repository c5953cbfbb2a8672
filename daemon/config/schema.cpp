#include "config/schema.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/kinds.h"
#include "config/schema_tables.h"

namespace chaos {
namespace {

std::vector<KeySpec> join_tables() {
  std::vector<KeySpec> keys;
  for (const auto& tables :
       {config_detail::chaos_keys(), config_detail::service_keys(), config_detail::daemon_keys()}) {
    for (const auto& table : tables) keys.insert(keys.end(), table.begin(), table.end());
  }
  return keys;
}

}  // namespace

std::span<const KeySpec> config_schema() {
  static const std::vector<KeySpec> keys = join_tables();
  return keys;
}

std::vector<std::string_view> path_segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const std::size_t end = std::min({path.find('.'), path.find('[', 1), path.size()});
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
    if (path.starts_with('.')) path.remove_prefix(1);
  }
  return segments;
}

bool is_wildcard(std::string_view segment) {
  return segment == "[]" || std::ranges::all_of(segment, [](unsigned char c) { return std::isupper(c) != 0; });
}

bool in_effect(const KeySpec& key, Names names) {
  if (key.effect != Effect::kPerKind) return key.effect == Effect::kNow;
  const KindEntry* kind = names.empty() ? nullptr : find_config_kind(names[0]);
  return kind != nullptr && kind->in_effect;
}

std::string summary(const KeySpec& key) {
  if (key.type == ValueType::kSection) return "section";
  std::string text(key.list ? "list of: " : "");
  text += to_string(key.type);
  if (!key.choices.empty()) {
    text = fmt::format("{}{}", key.list ? "list of: " : "one of ", fmt::join(key.choices, ", "));
  }
  if (!key.minimum.empty() && key.above_minimum) {
    text += fmt::format(", above {}, at most {}", key.minimum, key.maximum);
  } else if (!key.minimum.empty()) {
    text += fmt::format(", {} to {}", key.minimum, key.maximum);
  }
  if (key.required) return text + "; required";
  return text + (key.default_value.empty() ? "; unset" : fmt::format("; default {}", key.default_value));
}

}  // namespace chaos
