#include "plan/scenario.h"

#include <gtest/gtest.h>

namespace chaos {
namespace {

TEST(Scenario, StatesHaveTheNamesOfTheContract) {
  EXPECT_EQ(to_string(State::kQueued), "queued");
  EXPECT_EQ(to_string(State::kActive), "active");
  EXPECT_EQ(to_string(State::kStopping), "stopping");
  EXPECT_EQ(to_string(State::kRecovering), "recovering");
  EXPECT_EQ(to_string(State::kCompleted), "completed");
  EXPECT_EQ(to_string(State::kFailed), "failed");
  EXPECT_EQ(to_string(State::kAborted), "aborted");
}

TEST(Scenario, EndReasonsHaveTheNamesOfTheContract) {
  EXPECT_EQ(to_string(EndReason::kNone), "");
  EXPECT_EQ(to_string(EndReason::kExpired), "expired");
  EXPECT_EQ(to_string(EndReason::kStopped), "stopped");
  EXPECT_EQ(to_string(EndReason::kEmergencyStop), "emergency_stop");
  EXPECT_EQ(to_string(EndReason::kStopCondition), "stop_condition");
  EXPECT_EQ(to_string(EndReason::kLimit), "limit");
  EXPECT_EQ(to_string(EndReason::kLapsed), "lapsed");
  EXPECT_EQ(to_string(EndReason::kTargetGone), "target_gone");
  EXPECT_EQ(to_string(EndReason::kError), "error");
}

TEST(Scenario, NamesReadBack) {
  for (int i = 0; i <= static_cast<int>(State::kAborted); ++i) {
    const auto state = static_cast<State>(i);
    EXPECT_EQ(state_from(to_string(state)), state);
  }
  for (int i = 0; i <= static_cast<int>(EndReason::kError); ++i) {
    const auto reason = static_cast<EndReason>(i);
    EXPECT_EQ(end_reason_from(to_string(reason)), reason);
  }
  EXPECT_EQ(state_from("running"), std::nullopt);
  EXPECT_EQ(state_from(""), std::nullopt);
  EXPECT_EQ(end_reason_from("unknown"), std::nullopt);
}

TEST(Scenario, OnlyTheLastThreeStatesAreFinal) {
  for (const State state : {State::kQueued, State::kActive, State::kStopping, State::kRecovering}) {
    EXPECT_FALSE(is_final(state));
  }
  for (const State state : {State::kCompleted, State::kFailed, State::kAborted}) EXPECT_TRUE(is_final(state));
}

TEST(Scenario, ModesHaveNames) {
  EXPECT_EQ(to_string(Mode::kArmed), "armed");
  EXPECT_EQ(to_string(Mode::kShadow), "shadow");
}

}  // namespace
}  // namespace chaos
