// Scenario: what a user asked for and what became of it. Passive data in CONTRACT's terms; JSON in api/schema.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "base/clock.h"
#include "plan/target.h"

namespace chaos {

/// Who calls: from SO_PEERCRED and /proc, resolved once per connection.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::optional<uid_t> login_uid;  ///< /proc/PID/loginuid; empty if not set
  std::string user;                ///< name of uid, or its number
  std::string comm;
};

enum class Mode : std::uint8_t { kArmed, kShadow };  ///< shadow: decide and count, do not act

/// What becomes of packets that a scenario holds when it is stopped.
enum class InFlight : std::uint8_t { kLetGo, kDrop };

struct ScenarioRequest {
  std::string kind;
  TargetKeys target;
  std::map<std::string, std::string> parameters;
  std::optional<int> severity;
  std::optional<std::chrono::nanoseconds> duration;
  std::optional<std::uint64_t> seed;
  std::string reason;
  Mode mode = Mode::kArmed;
  bool validate = false;
  bool confirm_default_route = false;
};

enum class State : std::uint8_t { kQueued, kActive, kStopping, kRecovering, kCompleted, kFailed, kAborted };
enum class EndReason : std::uint8_t {
  kNone,
  kExpired,
  kStopped,
  kEmergencyStop,
  kStopCondition,
  kLimit,
  kLapsed,
  kTargetGone,
  kError,
};
[[nodiscard]] std::string_view to_string(State state);
/// Empty for kNone: the scenario has not ended.
[[nodiscard]] std::string_view to_string(EndReason reason);
[[nodiscard]] std::string_view to_string(Mode mode);
[[nodiscard]] std::optional<State> state_from(std::string_view text);
[[nodiscard]] std::optional<EndReason> end_reason_from(std::string_view text);
/// completed, failed, aborted.
[[nodiscard]] bool is_final(State state);

/// CONTRACT's counters; the sums close by construction: matched and evaluated are sums, never counted twice.
struct Counters {
  std::uint64_t evaluated = 0;
  std::uint64_t unmatched = 0;
  std::uint64_t matched = 0;
  std::uint64_t injected = 0;
  std::uint64_t not_sampled = 0;
  std::uint64_t spared_protected = 0;
  std::uint64_t spared_budget = 0;
  std::uint64_t spared_expired = 0;
  std::uint64_t over_limit = 0;
  /// In shadow mode, in place of injected: what would have been injected. Part of matched; 0 when armed.
  std::uint64_t shadowed = 0;
  std::uint64_t matched_segments = 0;
  std::uint64_t injected_segments = 0;
  /// Of `injected`, those that another scenario had decided to take as well: the wire lost them once.
  std::uint64_t injected_jointly = 0;
};

/// What the plan resolved, as text for people and scripts.
struct PlanSummary {
  std::string ownership;                ///< "file_descriptor", ...
  std::string mechanism;                ///< "tcx egress and ingress, tail call"
  std::vector<std::string> interfaces;  ///< "eth1 (ifindex 5) in netns 4026531840"
  std::vector<std::string> cgroups;     ///< whose sockets alone are meant, by path; empty: all sockets
  std::vector<std::string> processes;   ///< of the target, at the time of planning, if it is narrowed to sockets
  std::vector<std::string> peers;       ///< resolved prefixes
  std::map<std::string, std::string> parameters;  ///< effective values, canonical
  std::vector<std::string> touches;               ///< "service nginx": what the blast radius counts
  std::string blast_radius;                       ///< its share, by itself: "0.33"
  std::vector<std::string> notes;                 ///< what a user should know: lo counted once, fragments, ...
};

struct Scenario {
  std::string id;
  ScenarioRequest request;  ///< as asked, with defaults filled in (severity, duration, seed)
  Caller owner;
  PlanSummary plan;
  State state = State::kQueued;
  EndReason end_reason = EndReason::kNone;
  WallTime created_at{};
  std::optional<WallTime> started_at;
  std::optional<WallTime> ends_at;
  std::optional<WallTime> ended_at;
  std::optional<unsigned> queue_position;       ///< 1: next
  std::optional<WallTime> expected_start_at;    ///< while queued, if none of those before it ends early
  std::map<std::string, std::string> achieved;  ///< requested beside measured, per kind
  Counters counters;
  std::vector<std::string> warnings;
  std::string error;  ///< message of the error that ended it, empty otherwise
};

}  // namespace chaos
