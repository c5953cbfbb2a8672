#include "plan/parameters.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/contains.h"

namespace chaos {
namespace {

constexpr std::array kCommonParameters = {
    ParamSpec{.name = "max_events",
              .type = ParamType::kInteger,
              .help = "budget: at most this many events are injected",
              .minimum = "1"},
};

/// A value as its type reads it: what it compares by (0 for types without an order), and how it prints.
struct Value {
  std::uint64_t order = 0;
  std::string text;
};

bool has_order(ParamType type) { return type != ParamType::kChoice && type != ParamType::kString; }

template <class T, class Format>
Result<Value> to_value(const Result<T>& parsed, std::uint64_t order, Format format) {
  if (!parsed) return std::unexpected(parsed.error());
  return Value{order, format(*parsed)};
}

Result<Value> parse_value(ParamType type, std::string_view text) {
  switch (type) {
    case ParamType::kProbability: {
      const auto p = Probability::parse(text);
      return to_value(p, p ? p->ppb() : 0, [](Probability value) { return value.str(); });
    }
    case ParamType::kDuration: {
      const auto d = parse_duration(text);
      return to_value(d, d ? static_cast<std::uint64_t>(d->count()) : 0, format_duration);
    }
    case ParamType::kInteger: {
      const auto n = parse_unsigned(text);
      return to_value(n, n.value_or(0), [](std::uint64_t value) { return std::to_string(value); });
    }
    case ParamType::kBytes: {
      const auto n = parse_bytes(text);
      return to_value(n, n.value_or(0), format_bytes);
    }
    case ParamType::kBitRate: {
      const auto n = parse_bit_rate(text);
      return to_value(n, n.value_or(0), format_bit_rate);
    }
    case ParamType::kChoice:
    case ParamType::kString:
      break;
  }
  if (text.empty()) return fail(Errc::kInvalid, "the value is empty", {}, "not empty", "give a value or leave it out");
  return Value{0, std::string(text)};
}

std::string field_of(std::string_view name) { return fmt::format("parameters.{}", name); }

/// A limit that `value` breaks: "min 1ms" and what would fit.
struct Breach {
  std::string rule;
  std::string hint;
};

/// Limits as text; empty means none. Error: a limit that is no value of `type`.
Result<std::optional<Breach>> check_range(ParamType type, const Value& value, std::string_view minimum,
                                          std::string_view maximum) {
  if (!minimum.empty()) {
    const auto limit = parse_value(type, minimum);
    if (!limit) return std::unexpected(limit.error());
    if (value.order < limit->order) {
      return Breach{fmt::format("min {}", limit->text), fmt::format("at least {} fits", limit->text)};
    }
  }
  if (!maximum.empty()) {
    const auto limit = parse_value(type, maximum);
    if (!limit) return std::unexpected(limit.error());
    if (value.order > limit->order) {
      return Breach{fmt::format("max {}", limit->text), fmt::format("at most {} fits", limit->text)};
    }
  }
  return std::nullopt;
}

const ParamSpec* find_spec(const KindSpec& kind, std::string_view name) {
  for (const auto specs : {kind.parameters, common_parameters()}) {
    const auto found = std::ranges::find(specs, name, &ParamSpec::name);
    if (found != specs.end()) return &*found;
  }
  return nullptr;
}

std::unexpected<Error> unknown_parameter(const KindSpec& kind, std::string_view name) {
  if (name == "seed") {
    return fail(Errc::kInvalid, "seed is not a parameter", field_of(name), "a field of the request",
                "use the field seed (chaosctl --seed)");
  }
  std::vector<std::string_view> known;
  for (const auto specs : {kind.parameters, common_parameters()}) {
    for (const ParamSpec& spec : specs) known.push_back(spec.name);
  }
  return fail(Errc::kInvalid, fmt::format("{} has no parameter \"{}\"", kind.name, name), field_of(name),
              "known parameters only", fmt::format("known are: {}", fmt::join(known, ", ")));
}

/// The value to use for `spec` before it is checked; nothing if there is none.
std::optional<std::string> choose_value(const ParamSpec& spec, const Parameters& given, std::optional<int> severity,
                                        const ParameterPolicy& policy) {
  const std::string name(spec.name);
  if (const auto found = given.find(name); found != given.end()) return found->second;
  if (severity) {
    const auto steps = policy.steps.find(name);
    if (steps != policy.steps.end() && !steps->second.empty()) {
      return steps->second[severity_step(steps->second.size(), *severity)];
    }
    if (!spec.severity_steps.empty()) return std::string(severity_preset(spec, *severity));
  }
  if (!spec.default_value.empty()) return std::string(spec.default_value);
  return std::nullopt;
}

Status check_bounds(const ParamSpec& spec, const std::string& value, const ParameterPolicy& policy) {
  const auto bounds = policy.bounds.find(std::string(spec.name));
  if (bounds == policy.bounds.end() || !has_order(spec.type)) return {};
  const auto parsed = parse_value(spec.type, value);
  if (!parsed) return std::unexpected(parsed.error());
  const auto breach = check_range(spec.type, *parsed, bounds->second.first, bounds->second.second);
  if (!breach) return with_context(fmt::format("configured bounds of {}", spec.name), breach.error());
  if (!*breach) return {};
  return fail(Errc::kRefused, fmt::format("{} {} is outside the configured bounds", spec.name, parsed->text),
              field_of(spec.name), (*breach)->rule + " (configured)", (*breach)->hint);
}

std::unexpected<Error> missing(const KindSpec& kind, const ParamSpec& spec, const ParameterPolicy& policy) {
  const bool has_preset = !spec.severity_steps.empty() || policy.steps.contains(std::string(spec.name));
  return fail(Errc::kInvalid, fmt::format("{} needs {}", kind.name, spec.name), field_of(spec.name), "required",
              fmt::format("give {}{}", spec.name, has_preset ? " or a severity from 1 to 5" : ""));
}

bool holds(const Condition& condition, const Parameters& effective) {
  if (condition.parameter.empty()) return true;
  const auto found = effective.find(std::string(condition.parameter));
  return found != effective.end() && contains(condition.values, found->second);
}

bool has_meaning(const ParamSpec& spec, const Parameters& effective) {
  return holds(spec.when, effective) || (!spec.or_when.parameter.empty() && holds(spec.or_when, effective));
}

std::string text_of(const Condition& condition) {
  return fmt::format("{} = {}", condition.parameter, fmt::join(condition.values, " or "));
}

/// When it has a meaning.
std::string text_of(const ParamSpec& spec) {
  return text_of(spec.when) + (spec.or_when.parameter.empty() ? "" : ", or " + text_of(spec.or_when));
}

/// Adds the effective value of one parameter, if it has one.
Status resolve_one(const KindSpec& kind, const ParamSpec& spec, const Parameters& given, std::optional<int> severity,
                   const ParameterPolicy& policy, Parameters& effective) {
  if (!has_meaning(spec, effective)) {
    if (!given.contains(std::string(spec.name))) return {};
    return fail(Errc::kInvalid, fmt::format("{} has no meaning here", spec.name), field_of(spec.name),
                "only with " + text_of(spec), fmt::format("leave it out, or change {}", spec.when.parameter));
  }
  const auto chosen = choose_value(spec, given, holds(spec.preset_when, effective) ? severity : std::nullopt, policy);
  if (!chosen) {
    const bool required = spec.required && holds(spec.required_when, effective);
    if (required || &spec == kind.parameters.data()) return missing(kind, spec, policy);
    return {};
  }
  auto value = canonical_value(spec, *chosen);
  if (!value) return std::unexpected(std::move(value.error()));
  if (auto status = check_bounds(spec, *value, policy); !status) return status;
  effective.emplace(spec.name, std::move(*value));
  return {};
}

template <class T>
Result<T> read(const Parameters& values, std::string_view name, Result<T> (*parse)(std::string_view)) {
  const auto text = get_string(values, name);
  if (!text) return std::unexpected(text.error());
  auto value = parse(*text);
  if (!value) {
    value.error().field = field_of(name);
    return with_context(name, std::move(value.error()));
  }
  return value;
}

}  // namespace

ParameterPolicy parameter_policy(const KindPolicy& policy) {
  ParameterPolicy out;
  out.steps = policy.severity;
  for (const auto& [name, bounds] : policy.bounds) {
    out.bounds[name] = {bounds.min.value_or(""), bounds.max.value_or("")};
  }
  return out;
}

void add_scales(std::string_view kind, const Parameters& given, const ResourceExhaustionScales& scales,
                ParameterPolicy& policy) {
  const auto is = [&given](const char* name, std::string_view value) {
    const auto found = given.find(name);
    return found != given.end() && found->second == value;
  };
  if (kind != "resource_exhaustion" || policy.steps.contains("level")) return;
  const bool cpu = is("resource", "cpu") && is("mode", "throttle");
  const bool memory = is("resource", "memory") && is("mode", "pressure");
  if (!cpu && !memory) return;
  std::vector<std::string>& steps = policy.steps["level"];
  for (const int percent : cpu ? scales.cpu_throttle : scales.memory_pressure) {
    steps.push_back(fmt::format("{}%", percent));
  }
}

std::span<const ParamSpec> common_parameters() { return kCommonParameters; }

Result<std::string> canonical_value(const ParamSpec& spec, std::string_view value) {
  auto parsed = parse_value(spec.type, value);
  if (!parsed) {
    parsed.error().field = field_of(spec.name);
    if (parsed.error().rule.empty()) parsed.error().rule = fmt::format("of type {}", to_string(spec.type));
    return with_context(spec.name, std::move(parsed.error()));
  }
  if (!spec.choices.empty() && !contains(spec.choices, value)) {
    return fail(Errc::kInvalid, fmt::format("{}: \"{}\" is not a choice", spec.name, value), field_of(spec.name),
                fmt::format("one of {}", fmt::join(spec.choices, ", ")), "give one of these");
  }
  if (has_order(spec.type)) {
    const auto breach = check_range(spec.type, *parsed, spec.minimum, spec.maximum);
    if (!breach) return with_context(fmt::format("range of {}", spec.name), breach.error());
    if (*breach) {
      return fail(Errc::kInvalid, fmt::format("{}: {} is out of range", spec.name, parsed->text), field_of(spec.name),
                  (*breach)->rule, (*breach)->hint);
    }
  }
  return std::move(parsed->text);
}

Result<Parameters> resolve_parameters(const KindSpec& kind, const Parameters& given, std::optional<int> severity,
                                      const ParameterPolicy& policy) {
  if (severity && (*severity < 1 || *severity > 5)) {
    return fail(Errc::kInvalid, fmt::format("severity {} is out of range", *severity), "severity", "1 to 5",
                "give a severity from 1 to 5");
  }
  for (const auto& [name, value] : given) {
    if (find_spec(kind, name) == nullptr) return unknown_parameter(kind, name);
  }
  Parameters effective;
  // Those with a condition last: it is about a parameter that has none.
  for (const bool conditional : {false, true}) {
    for (const auto specs : {kind.parameters, common_parameters()}) {
      for (const ParamSpec& spec : specs) {
        if (spec.when.parameter.empty() == conditional) continue;
        if (Status status = resolve_one(kind, spec, given, severity, policy, effective); !status) {
          return std::unexpected(std::move(status.error()));
        }
      }
    }
  }
  return effective;
}

Status check_bounds(const KindSpec& kind, const Parameters& effective, const ParameterPolicy& policy) {
  for (const auto& [name, value] : effective) {
    const ParamSpec* spec = find_spec(kind, name);
    if (spec == nullptr) continue;
    if (Status status = check_bounds(*spec, value, policy); !status) return status;
  }
  return {};
}

int effective_severity(const KindSpec& kind, const Parameters& effective, std::optional<int> severity,
                       const ParameterPolicy& policy) {
  constexpr int kHighest = 5;
  if (severity) return *severity;
  if (kind.parameters.empty() || !has_order(kind.parameters.front().type)) return kHighest;
  const ParamSpec& main = kind.parameters.front();
  const auto found = effective.find(std::string(main.name));
  const auto value = found == effective.end() ? std::nullopt : std::optional(parse_value(main.type, found->second));
  if (!value || !*value) return kHighest;
  for (int level = 1; level <= kHighest; ++level) {
    const auto preset = choose_value(main, {}, level, policy);
    const auto step = preset ? parse_value(main.type, *preset) : fail(Errc::kInvalid, "no preset");
    if (step && (*value)->order <= step->order) return level;
  }
  return kHighest;
}

Status check_policy(const KindSpec& kind, const ParameterPolicy& policy) {
  for (const auto& [name, steps] : policy.steps) {
    const ParamSpec* spec = find_spec(kind, name);
    if (spec == nullptr) return unknown_parameter(kind, name);
    if (steps.empty()) {
      return fail(Errc::kInvalid, fmt::format("severity scale of {} is empty", name), field_of(name), "1 step or more");
    }
    for (const std::string& step : steps) {
      if (auto value = canonical_value(*spec, step); !value) return with_context("severity scale", value.error());
    }
  }
  for (const auto& [name, bounds] : policy.bounds) {
    const ParamSpec* spec = find_spec(kind, name);
    if (spec == nullptr) return unknown_parameter(kind, name);
    if (!has_order(spec->type)) {
      return fail(Errc::kInvalid, fmt::format("{} has no order, so no bounds", name), field_of(name));
    }
    for (const std::string& bound : {bounds.first, bounds.second}) {
      if (bound.empty()) continue;
      if (auto value = parse_value(spec->type, bound); !value) {
        value.error().field = field_of(name);
        return with_context("bounds", std::move(value.error()));
      }
    }
    if (bounds.first.empty() || bounds.second.empty()) continue;
    if (parse_value(spec->type, bounds.first)->order > parse_value(spec->type, bounds.second)->order) {
      return fail(Errc::kInvalid, fmt::format("bounds of {} admit nothing", name), field_of(name),
                  fmt::format("{} <= {}", bounds.first, bounds.second), "swap them");
    }
  }
  return {};
}

Result<std::string> get_string(const Parameters& values, std::string_view name) {
  const auto found = values.find(std::string(name));
  if (found != values.end()) return found->second;
  return fail(Errc::kInvalid, fmt::format("parameter {} is missing", name), field_of(name), "required",
              fmt::format("give {}", name));
}

Result<Probability> get_probability(const Parameters& values, std::string_view name) {
  return read(values, name, Probability::parse);
}

Result<std::chrono::nanoseconds> get_duration(const Parameters& values, std::string_view name) {
  return read(values, name, parse_duration);
}

std::chrono::nanoseconds duration_or_zero(const Parameters& values, std::string_view name) {
  return get_duration(values, name).value_or(std::chrono::nanoseconds(0));
}

Result<std::uint64_t> get_integer(const Parameters& values, std::string_view name) {
  return read(values, name, parse_unsigned);
}

Result<std::uint64_t> get_bytes(const Parameters& values, std::string_view name) {
  return read(values, name, parse_bytes);
}

Result<std::uint64_t> get_bit_rate(const Parameters& values, std::string_view name) {
  return read(values, name, parse_bit_rate);
}

}  // namespace chaos
