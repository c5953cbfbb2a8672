// KindSpec: what a fault kind is, as data: its name, parameters, severity presets and needs. The registry in fault/
// holds one per kind; plan/ checks requests against it; the API and chaosctl show it. Constant data, any thread.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

enum class ParamType { kProbability, kDuration, kInteger, kBytes, kBitRate, kChoice, kString };

/// Another parameter of the kind has one of these values.
struct Condition {
  std::string_view parameter{};  ///< empty: always so; else one without a condition, or of a spec further up
  std::span<const std::string_view> values{};
};

/// One parameter. Limits and defaults are in the form that users write ("10%", "50ms"); empty means none.
struct ParamSpec {
  std::string_view name;
  ParamType type;
  std::string_view help;
  std::string_view minimum{};        ///< inclusive
  std::string_view maximum{};        ///< inclusive
  std::string_view default_value{};  ///< empty: filled from the severity preset; else the main one is required
  std::span<const std::string_view> choices{};
  /// Values for severity 1..n (n >= 2), spread over 1..5 as CONTRACT says: step round((s-1)(n-1)/4). Empty: no preset.
  std::span<const std::string_view> severity_steps{};
  Condition when{};           ///< where neither this is so
  Condition or_when{};        ///< nor, unless it is empty, this, the parameter is refused
  Condition preset_when{};    ///< where it is not so, severity_steps say nothing
  bool required = false;      ///< refused without a value; the main one always is
  Condition required_when{};  ///< where it is not so, `required` says nothing
};

/// Who undoes the effect when chaosd dies (DESIGN, "Fault ownership").
enum class Ownership { kFileDescriptor, kProcess, kJournaled };

/// What a kind can be aimed at.
struct TargetSupport {
  bool interface = false;
  bool netns = false;
  bool sockets = false;    ///< service, unit, cgroup, container
  bool filters = false;    ///< peer, port, local-port, protocol, direction
  bool host = false;       ///< host=localhost: what all that runs here shares
  bool processes = false;  ///< service, unit, cgroup, container, pid: what runs there, and not its sockets
  bool answers = false;    ///< by sockets: what they send from the ports that the target listens on
  bool users = false;      ///< of these, uid as well, and netns with uid or comm
};

struct Plan;

struct KindSpec {
  std::string_view name;
  std::string_view help;
  std::span<const ParamSpec> parameters;  ///< the first is the main one; max_events and seed are common to all kinds
  Ownership ownership;
  TargetSupport targets;
  std::span<const std::string_view> features;  ///< names in the feature table that must work here
  /// What it takes it holds in delay lines, which begin and end at interfaces: see line_places.h.
  bool holds_packets = false;
  /// The kind's own word on a plan whose target is resolved: may narrow its filter, say by what mechanism it acts and
  /// who undoes that, and add notes. Null: none.
  Status (*refine)(Plan& plan) = nullptr;
  /// With these effective parameters it is aimed as that other kind is (its targets, holds_packets). Null, or a null
  /// result: as itself.
  const KindSpec* (*aimed_as)(const std::map<std::string, std::string>& parameters) = nullptr;
  std::string_view unit = "packet";  ///< what `matched` counts, for messages
};

/// The kind by whose rules the target is found.
[[nodiscard]] const KindSpec& aimed_as(const KindSpec& kind, const std::map<std::string, std::string>& parameters);

[[nodiscard]] std::string_view to_string(ParamType type);
[[nodiscard]] std::string_view to_string(Ownership ownership);

/// Index of the step that severity 1..5 takes in a scale of `steps` >= 1: (s-1)(n-1)/4, ties to the even index, so
/// that three steps give 0, 0, 1, 2, 2 (CONTRACT). A severity outside 1..5 counts as the nearer end.
[[nodiscard]] std::size_t severity_step(std::size_t steps, int severity);
/// The preset of `spec` for severity 1..5; empty if it has none.
[[nodiscard]] std::string_view severity_preset(const ParamSpec& spec, int severity);

}  // namespace chaos
