// Parameters: the values of a request checked against its KindSpec and completed from severity presets and defaults.
// Pure functions; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/config.h"
#include "plan/kind_spec.h"

namespace chaos {

/// Name → value. As users write them in requests, canonical ("10%", "50ms") once resolved.
using Parameters = std::map<std::string, std::string>;

/// What the configuration says about the parameters of one kind.
struct ParameterPolicy {
  /// Parameter → severity scale; replaces the one of the ParamSpec. Spread over 1..5 by severity_step().
  std::map<std::string, std::vector<std::string>> steps{};
  /// Parameter → smallest and largest value that is allowed (inclusive); empty: no limit on that side.
  std::map<std::string, std::pair<std::string, std::string>> bounds{};
};

[[nodiscard]] ParameterPolicy parameter_policy(const KindPolicy& policy);

/// The scales that the configuration has for one use of resource_exhaustion alone, where `given` is that use and there
/// is no scale for the kind as a whole.
void add_scales(std::string_view kind, const Parameters& given, const ResourceExhaustionScales& scales,
                ParameterPolicy& policy);

/// Parameters that every kind has besides its own: max_events.
[[nodiscard]] std::span<const ParamSpec> common_parameters();

/// `value` checked against type, range and choices of `spec`, in canonical form. Error: kInvalid with field
/// `parameters.NAME`, rule and hint.
[[nodiscard]] Result<std::string> canonical_value(const ParamSpec& spec, std::string_view value);

/// The effective parameters, canonical. For each, the first that exists: given, severity preset (the policy's before
/// the spec's), default. Without any of these the main parameter is an error and others are left out.
/// A parameter whose condition does not hold has no value.
/// Errors: kInvalid (field `parameters.NAME`, or `severity` outside 1..5) for what is malformed, unknown, missing or
/// without meaning under the other parameters;
/// kRefused for an effective value outside the policy's bounds, wherever it comes from.
[[nodiscard]] Result<Parameters> resolve_parameters(const KindSpec& kind, const Parameters& given,
                                                    std::optional<int> severity, const ParameterPolicy& policy = {});

/// What the limits on severity are held against: the severity that was given, else the lowest one whose preset of the
/// main parameter is at least the effective value. 5 if that is above all presets, or there are none to compare with.
[[nodiscard]] int effective_severity(const KindSpec& kind, const Parameters& effective, std::optional<int> severity,
                                     const ParameterPolicy& policy = {});

/// Resolved values against the policy's bounds alone. Error: kRefused.
[[nodiscard]] Status check_bounds(const KindSpec& kind, const Parameters& effective, const ParameterPolicy& policy);

/// For use when the configuration is loaded: every name is a parameter of `kind`, every step and bound is a value of
/// it, bounds are ordered and only on parameters that have an order. Error: kInvalid.
[[nodiscard]] Status check_policy(const KindSpec& kind, const ParameterPolicy& policy);

/// Typed reads of resolved parameters; kInvalid if `name` is absent or of another type.
[[nodiscard]] Result<std::string> get_string(const Parameters& values, std::string_view name);
[[nodiscard]] Result<Probability> get_probability(const Parameters& values, std::string_view name);
[[nodiscard]] Result<std::chrono::nanoseconds> get_duration(const Parameters& values, std::string_view name);
/// 0 where it has no value.
[[nodiscard]] std::chrono::nanoseconds duration_or_zero(const Parameters& values, std::string_view name);
[[nodiscard]] Result<std::uint64_t> get_integer(const Parameters& values, std::string_view name);
[[nodiscard]] Result<std::uint64_t> get_bytes(const Parameters& values, std::string_view name);
[[nodiscard]] Result<std::uint64_t> get_bit_rate(const Parameters& values, std::string_view name);

}  // namespace chaos
