#include "safety/schedule.h"

#include <fmt/format.h>

#include <algorithm>

namespace chaos {
namespace {

/// A plan to remember: an open namespace would be kept alive by it.
Plan remembered(const Plan& plan) {
  Plan copy = plan;
  copy.reach = {};
  return copy;
}

std::chrono::milliseconds duration_of(const Plan& plan) {
  return std::chrono::ceil<std::chrono::milliseconds>(plan.request.duration.value_or(std::chrono::nanoseconds::zero()));
}

}  // namespace

std::vector<Footprint> Schedule::footprints(std::string_view but) const {
  std::vector<Footprint> all;
  for (const auto& [id, slot] : slots_) {
    if (id != but) all.push_back(slot.plan ? slot.plan->footprint : Footprint{});
  }
  return all;
}

Result<std::optional<AdmittedPlan>> Schedule::consider(Plan plan, Brakes brakes, WallTime now) const {
  return admit(std::move(plan), policy_,
               {.footprints = footprints(), .ahead = queue_.size(), .brakes = brakes, .now = now});
}

Result<std::optional<AdmittedPlan>> Schedule::request(const std::string& id, Plan plan, Brakes brakes, WallTime now) {
  const auto duration = duration_of(plan);
  auto admitted = consider(std::move(plan), brakes, now);
  if (!admitted) return admitted;
  if (*admitted) {
    slots_[id] = {remembered((*admitted)->plan()), std::nullopt};
  } else {
    queue_.push_back({id, duration});
  }
  return admitted;
}

std::optional<std::string> Schedule::next_turn() {
  if (queue_.empty() || slots_.size() >= policy_.max_concurrent_scenarios) return std::nullopt;
  std::string id = std::move(queue_.front().id);
  queue_.pop_front();
  slots_[id] = {};
  return id;
}

Result<AdmittedPlan> Schedule::admit_turn(const std::string& id, Plan plan, Brakes brakes, WallTime now) {
  auto admitted =
      admit(std::move(plan), policy_, {.footprints = footprints(id), .ahead = 0, .brakes = brakes, .now = now});
  if (!admitted) return std::unexpected(admitted.error());
  if (!*admitted) {
    return fail(Errc::kRefused, "the limit was lowered while it took its turn", {},
                "chaos_testing.max_concurrent_scenarios", "start it again");
  }
  slots_[id].plan = remembered((*admitted)->plan());
  return std::move(**admitted);
}

void Schedule::started(std::string_view id, WallTime ends_at) {
  if (const auto slot = slots_.find(id); slot != slots_.end()) slot->second.ends_at = ends_at;
}

void Schedule::release(std::string_view id) {
  if (const auto slot = slots_.find(id); slot != slots_.end()) slots_.erase(slot);
  std::erase_if(queue_, [id](const Waiting& waiting) { return waiting.id == id; });
}

std::vector<Schedule::Misfit> Schedule::misfits() const {
  std::vector<Misfit> found;
  std::vector<Footprint> before;
  for (const auto& [id, slot] : slots_) {
    if (!slot.plan) continue;
    Status status = check_again(*slot.plan, policy_, before);
    if (status && before.size() >= policy_.max_concurrent_scenarios) {
      status = fail(Errc::kRefused,
                    fmt::format("{} older ones fill the limit of {}", before.size(), policy_.max_concurrent_scenarios),
                    {}, "chaos_testing.max_concurrent_scenarios");
    }
    if (status) {
      before.push_back(slot.plan->footprint);
    } else {
      found.push_back({id, status.error()});
    }
  }
  return found;
}

unsigned Schedule::position(std::string_view id) const {
  const auto found = std::ranges::find(queue_, id, &Waiting::id);
  return found == queue_.end() ? 0 : static_cast<unsigned>(found - queue_.begin()) + 1;
}

std::optional<WallTime> Schedule::expected_start(std::string_view id, WallTime now) const {
  // The ends of what has a slot; what has not begun yet is taken to begin now.
  std::vector<WallTime> ends;
  for (const auto& [slot_id, slot] : slots_) {
    const auto duration = slot.plan ? duration_of(*slot.plan) : std::chrono::milliseconds::zero();
    ends.push_back(std::max(slot.ends_at.value_or(now + duration), now));
  }
  // A lowered limit: nobody starts before as many have ended.
  std::ranges::sort(ends);
  const std::size_t limit = policy_.max_concurrent_scenarios;
  while (ends.size() > limit) ends.erase(ends.begin());
  ends.insert(ends.begin(), limit - std::min(limit, ends.size()), now);
  for (const Waiting& waiting : queue_) {
    const WallTime start = ends.front();
    if (waiting.id == id) return start;
    ends.front() = start + waiting.duration;
    std::ranges::sort(ends);
  }
  return std::nullopt;
}

}  // namespace chaos
