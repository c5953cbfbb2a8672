#include "fault/host_fault.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/contains.h"

namespace chaos {
namespace {

/// How often a change that is applied is looked at.
constexpr std::chrono::milliseconds kCheck{250};
/// Later than this nobody is woken up but by a host that was suspended.
constexpr std::chrono::seconds kStandstill{2};

}  // namespace

Rhythm slices(double share, std::chrono::nanoseconds slice) {
  const double ratio = share <= 0.5 ? (1 - share) / share : share / (1 - share);
  const std::chrono::nanoseconds longer(static_cast<std::int64_t>(ratio * static_cast<double>(slice.count())));
  return share <= 0.5 ? Rhythm{slice, longer} : Rhythm{longer, slice};
}

Result<HostFault::Options> HostFault::options_of(const Plan& plan) {
  Options options;
  options.shadow = plan.request.mode == Mode::kShadow;
  if (!plan.parameters.contains("max_events")) return options;
  const auto budget = get_integer(plan.parameters, "max_events");
  if (!budget) return std::unexpected(budget.error());
  options.max_events = *budget;
  return options;
}

HostFault::HostFault(std::unique_ptr<HostChange> change, ActGate gate, Options options)
    : options_(std::move(options)), change_(std::move(change)), stint_(gate) {}

Status HostFault::arm(std::chrono::nanoseconds duration) {
  if (stint_.over()) return fail(Errc::kUnavailable, "the emergency stop or the lease stands in the way");
  {
    const std::scoped_lock lock(mutex_);
    armed_at_ = Clock::now();
  }
  {
    const std::scoped_lock lock(acting_);
    change_->ends_at(system_clock().boottime() + duration);
  }
  if (Status status = apply(); !status) return status;
  Status started = stint_.start(duration, [this] { run(); });
  if (!started) withdraw();
  return started;
}

/// The first application is arm()'s.
void HostFault::run() {
  if (options_.rhythm.pulsed()) {
    pulse();
  } else {
    while (stint_.sleep_until(Clock::now() + kCheck)) look();
  }
  withdraw();
  const std::scoped_lock lock(mutex_);
  ended_at_ = Clock::now();
}

void HostFault::pulse() {
  const std::chrono::nanoseconds on = options_.rhythm.on;
  const std::chrono::nanoseconds off = options_.rhythm.off;
  const double share = static_cast<double>(on.count()) / static_cast<double>((on + off).count());
  const auto part = [](std::chrono::nanoseconds time, double factor) {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(time.count()) * factor));
  };
  // Where the share is counted from, and what had been applied by then.
  auto origin = *armed_at_;
  std::chrono::nanoseconds before{0};
  auto next_look = origin + kCheck;
  for (;;) {
    // Waking up is late by now and then: a spell that began late is longer, and one that was too long is made good by
    // the one behind it.
    const auto owed = on + part(Clock::now() - origin, share) - (times().applied - before);
    if (!stint_.sleep_until(Clock::now() + std::clamp<std::chrono::nanoseconds>(owed, on / 2, on + off))) return;
    if (const auto now = Clock::now(); now >= next_look) {
      look();
      next_look = now + kCheck;
    }
    withdraw();
    const auto again = origin + part(times().applied - before, 1 / share);
    if (!stint_.sleep_until(again)) return;
    if (const auto now = Clock::now(); now - again > kStandstill + on + off) {
      // Of a host that stood still nothing is made good.
      origin = now;
      before = times().applied;
    }
    if (Status status = apply(); !status) spdlog::warn("a pulse is left out: {}", status.error().message);
  }
}

void HostFault::look() {
  const std::scoped_lock lock(acting_);
  change_->check();
  publish();
}

Status HostFault::apply() {
  const std::scoped_lock lock(acting_);
  bool act = true;
  {
    const std::scoped_lock counting(mutex_);
    if (options_.max_events && counters_.injected + counters_.shadowed >= *options_.max_events) {
      ++counters_.spared_budget;
      act = false;
    } else if (options_.shadow) {
      ++counters_.shadowed;
      act = false;
    }
  }
  Status status;
  if (act && !stint_.over()) {
    status = change_->apply();
    publish();
    const std::scoped_lock counting(mutex_);
    ++(status ? counters_.injected : counters_.over_limit);
    if (status) applied_since_ = Clock::now();
  }
  const std::scoped_lock counting(mutex_);
  counters_.matched = counters_.injected + counters_.shadowed + counters_.spared_budget + counters_.over_limit;
  counters_.evaluated = counters_.matched;
  return status;
}

void HostFault::withdraw() {
  const std::scoped_lock lock(acting_);
  {
    const std::scoped_lock counting(mutex_);
    if (!applied_since_) return;
    applied_ += Clock::now() - *applied_since_;
    applied_since_.reset();
  }
  change_->withdraw();
  publish();
}

Status HostFault::remove() {
  stint_.join();
  // Without a thread there was nobody else to do it.
  withdraw();
  const std::scoped_lock lock(acting_);
  if (std::exchange(removed_, true)) return {};
  Status status = change_->finish();
  publish();
  return status;
}

Status HostFault::follow(const Reach& reach) {
  const std::scoped_lock lock(acting_);
  if (removed_ || stint_.over()) return {};
  Status status = change_->follow(reach.processes.value_or(ProcessReach{}));
  publish();
  return status;
}

void HostFault::publish() {
  std::vector<std::string> remarks = change_->remarks();
  std::map<std::string, std::string> figures = change_->figures();
  const std::scoped_lock lock(mutex_);
  for (std::string& remark : remarks) {
    if (!contains(remarks_, remark)) remarks_.push_back(std::move(remark));
  }
  figures_ = std::move(figures);
  failure_ = change_->failure();
}

AppliedTimes HostFault::times() const {
  const std::scoped_lock lock(mutex_);
  if (!armed_at_) return {};
  const auto now = Clock::now();
  AppliedTimes times{applied_, ended_at_.value_or(now) - *armed_at_};
  if (applied_since_) times.applied += now - *applied_since_;
  return times;
}

Counters HostFault::counters() const {
  const std::scoped_lock lock(mutex_);
  return counters_;
}

std::map<std::string, std::string> HostFault::achieved(const Counters& /*counters*/) const {
  std::map<std::string, std::string> all;
  if (options_.achieved) all = options_.achieved(times());
  const std::scoped_lock lock(mutex_);
  all.insert(figures_.begin(), figures_.end());
  return all;
}

Fault::TargetState HostFault::target_state() const {
  const std::scoped_lock lock(mutex_);
  return {.gone = false, .failure = failure_, .remarks = remarks_};
}

}  // namespace chaos
