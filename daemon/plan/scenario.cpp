#include "plan/scenario.h"

#include <algorithm>
#include <array>
#include <utility>

namespace chaos {
namespace {

template <class T>
using Name = std::pair<T, std::string_view>;

constexpr std::array kStates = {
    Name<State>{State::kQueued, "queued"},       Name<State>{State::kActive, "active"},
    Name<State>{State::kStopping, "stopping"},   Name<State>{State::kRecovering, "recovering"},
    Name<State>{State::kCompleted, "completed"}, Name<State>{State::kFailed, "failed"},
    Name<State>{State::kAborted, "aborted"},
};

constexpr std::array kEndReasons = {
    Name<EndReason>{EndReason::kNone, ""},
    Name<EndReason>{EndReason::kExpired, "expired"},
    Name<EndReason>{EndReason::kStopped, "stopped"},
    Name<EndReason>{EndReason::kEmergencyStop, "emergency_stop"},
    Name<EndReason>{EndReason::kStopCondition, "stop_condition"},
    Name<EndReason>{EndReason::kLimit, "limit"},
    Name<EndReason>{EndReason::kLapsed, "lapsed"},
    Name<EndReason>{EndReason::kTargetGone, "target_gone"},
    Name<EndReason>{EndReason::kError, "error"},
};

template <class T, std::size_t N>
std::string_view name_of(const std::array<Name<T>, N>& names, T value) {
  const auto found = std::ranges::find(names, value, &Name<T>::first);
  return found == names.end() ? std::string_view("unknown") : found->second;
}

template <class T, std::size_t N>
std::optional<T> value_of(const std::array<Name<T>, N>& names, std::string_view text) {
  const auto found = std::ranges::find(names, text, &Name<T>::second);
  if (found == names.end()) return std::nullopt;
  return found->first;
}

}  // namespace

std::string_view to_string(State state) { return name_of(kStates, state); }

std::string_view to_string(EndReason reason) { return name_of(kEndReasons, reason); }

std::string_view to_string(Mode mode) { return mode == Mode::kShadow ? "shadow" : "armed"; }

std::optional<State> state_from(std::string_view text) { return value_of(kStates, text); }

std::optional<EndReason> end_reason_from(std::string_view text) { return value_of(kEndReasons, text); }

bool is_final(State state) { return state == State::kCompleted || state == State::kFailed || state == State::kAborted; }

}  // namespace chaos
