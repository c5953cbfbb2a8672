// Schedule: who has a slot, who waits for one, in which order. Holds what admission has to know of the others, and asks
// it. Pure state, no clock, no I/O; loop thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "config/config.h"
#include "safety/admission.h"

namespace chaos {

class Schedule {
 public:
  explicit Schedule(ChaosTesting policy) : policy_(std::move(policy)) {}

  /// A new scenario. It has a slot when a plan comes back, a place at the end of the queue when none does. Error: as
  /// admit(); then nothing has changed.
  Result<std::optional<AdmittedPlan>> request(const std::string& id, Plan plan, Brakes brakes, WallTime now);
  /// What request() would say; changes nothing.
  [[nodiscard]] Result<std::optional<AdmittedPlan>> consider(Plan plan, Brakes brakes, WallTime now) const;

  /// The one whose turn it is, with a slot from now on; empty if there is none or no slot is free. Its plan is old by
  /// now: it takes its turn with a new one, by admit_turn(), or gives the slot back, by release().
  std::optional<std::string> next_turn();
  /// Admits a new plan for one that next_turn() gave out. Error: as admit(); it still has its slot.
  Result<AdmittedPlan> admit_turn(const std::string& id, Plan plan, Brakes brakes, WallTime now);
  /// It acts until `ends_at`: for expected_start().
  void started(std::string_view id, WallTime ends_at);
  /// It has ended or will not run: its slot or its place in the queue is free.
  void release(std::string_view id);

  void set_policy(ChaosTesting policy) { policy_ = std::move(policy); }
  [[nodiscard]] const ChaosTesting& policy() const { return policy_; }
  /// Those with a slot, oldest first, that the policy would refuse now, each with why.
  struct Misfit {
    std::string id;
    Error why;
  };
  [[nodiscard]] std::vector<Misfit> misfits() const;

  /// 1 for the next; 0 if it does not wait.
  [[nodiscard]] unsigned position(std::string_view id) const;
  /// When its turn comes if everything runs to its end; empty if it does not wait.
  [[nodiscard]] std::optional<WallTime> expected_start(std::string_view id, WallTime now) const;
  [[nodiscard]] std::size_t running() const { return slots_.size(); }
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

 private:
  struct Slot {
    std::optional<Plan> plan;  ///< without its namespace; empty between next_turn() and admit_turn()
    std::optional<WallTime> ends_at;
  };
  struct Waiting {
    std::string id;
    std::chrono::milliseconds duration;
  };
  /// Of all slots but `but`.
  [[nodiscard]] std::vector<Footprint> footprints(std::string_view but = {}) const;

  ChaosTesting policy_;
  std::map<std::string, Slot, std::less<>> slots_;  ///< by ULID: oldest first
  std::deque<Waiting> queue_;
};

}  // namespace chaos
