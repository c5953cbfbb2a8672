// Setters for the schema's tables: assign checked values to a member of Config, found by a path of member pointers.
// Internal to config/.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/schema.h"

namespace chaos::config_detail {

inline void assign(bool& out, const Value& value) { out = value.boolean; }
inline void assign(double& out, const Value& value) { out = value.number; }
inline void assign(std::chrono::nanoseconds& out, const Value& value) { out = value.duration; }
inline void assign(Probability& out, const Value& value) { out = value.fraction; }
inline void assign(std::string& out, const Value& value) { out = value.text; }
inline void assign(TimeWindow& out, const Value& value) { out = value.window; }
inline void assign(PortRange& out, const Value& value) { out = value.ports; }

template <std::integral T>
void assign(T& out, const Value& value) {
  out = static_cast<T>(value.integer);
}

/// The choices of the key are in the order of the enumerators.
template <class T>
requires std::is_enum_v<T>
void assign(T& out, const Value& value) { out = static_cast<T>(value.choice); }

template <class T>
void assign(std::optional<T>& out, const Value& value) {
  assign(out.emplace(), value);
}

template <class T>
void store(T& out, Values values) {
  assign(out, values.front());
}

template <class T>
void store(std::vector<T>& out, Values values) {
  out.clear();
  for (const Value& value : values) assign(out.emplace_back(), value);
}

template <auto... Members>
void set(Config& config, Names /*names*/, Values values) {
  store((config.*....*Members), values);
}

template <auto... Members>
void set_kind(Config& config, Names names, Values values) {
  store((config.chaos_testing.scenarios[names[0]].*....*Members), values);
}

template <auto Member>
void set_bound(Config& config, Names names, Values values) {
  store(config.chaos_testing.scenarios[names[0]].bounds[names[1]].*Member, values);
}

template <auto Member>
void set_service(Config& config, Names names, Values values) {
  store(config.services[names[0]].*Member, values);
}

template <auto Member>
void set_health(Config& config, Names names, Values values) {
  auto& health = config.services[names[0]].health;
  if (!health) health.emplace();
  store((*health).*Member, values);
}

template <auto Member>
void set_source(Config& config, Names names, Values values) {
  store(config.telemetry.sources[names[0]].*Member, values);
}

inline Webhook& webhook_at(Config& config, Names names) {
  std::size_t index = 0;
  std::from_chars(names[0].data(), names[0].data() + names[0].size(), index);
  if (config.webhooks.size() <= index) config.webhooks.resize(index + 1);
  return config.webhooks[index];
}

template <auto Member>
void set_webhook(Config& config, Names names, Values values) {
  store(webhook_at(config, names).*Member, values);
}

}  // namespace chaos::config_detail
