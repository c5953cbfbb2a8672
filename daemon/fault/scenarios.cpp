#include "fault/scenarios.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/contains.h"
#include "base/ulid.h"
#include "fault/registry.h"
#include "plan/planner.h"

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kWatchPeriod{250};
constexpr std::chrono::seconds kProtectionAge{10};
/// An active scenario that has matched nothing for this long says so.
constexpr std::chrono::seconds kSilentAfter{5};

PlanDefaults defaults_for(const ChaosTesting& policy, const std::string& kind) {
  PlanDefaults defaults;
  defaults.duration = policy.default_duration;
  auto it = policy.scenarios.find(kind);
  if (it != policy.scenarios.end()) defaults.parameters = parameter_policy(it->second);
  return defaults;
}

/// Worker thread: the whole way from a request to a plan.
Result<Plan> plan_request(const ScenarioRequest& request, const ChaosTesting& policy) {
  auto kind = find_kind(request.kind);
  if (!kind) return std::unexpected(kind.error());
  return make_plan((*kind)->spec, request, defaults_for(policy, request.kind));
}

Scenario record_of(const Plan& plan, const Caller& caller) {
  Scenario record;
  record.request = plan.request;
  record.owner = caller;
  record.plan = plan.summary;
  record.warnings = plan.warnings;
  record.created_at = system_clock().wall();
  return record;
}

State final_state(EndReason reason) {
  switch (reason) {
    case EndReason::kExpired:
    case EndReason::kStopped:
      return State::kCompleted;
    case EndReason::kEmergencyStop:
    case EndReason::kStopCondition:
    case EndReason::kLimit:
      return State::kAborted;
    default:
      return State::kFailed;
  }
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

Scenarios::Scenarios(EventLoop& loop, Worker& worker, Injector& injector, Latch& latch, ChaosTesting policy,
                     Observer observer)
    : loop_(loop),
      worker_(worker),
      injector_(injector),
      latch_(latch),
      policy_(std::move(policy)),
      observer_(std::move(observer)) {}

Scenarios::~Scenarios() = default;

void Scenarios::plan(ScenarioRequest request, const Caller& caller, PlanReply reply) {
  worker_.post([this, request = std::move(request), caller, policy = policy_, reply = std::move(reply)]() mutable {
    auto plan = plan_request(request, policy);
    loop_.post([this, plan = std::move(plan), caller, reply = std::move(reply)]() mutable {
      if (!plan) return reply(std::unexpected(plan.error()));
      PlanReport report{record_of(*plan, caller), std::nullopt};
      if (auto admitted = admit(std::move(*plan), policy_, active_set()); !admitted) report.refusal = admitted.error();
      reply(std::move(report));
    });
  });
}

void Scenarios::start(ScenarioRequest request, const Caller& caller, Reply reply) {
  if (shutting_down_) return reply(fail(Errc::kUnavailable, "chaosd is shutting down: nothing starts"));
  if (Status status = check_brakes(active_set()); !status) return reply(std::unexpected(status.error()));
  worker_.post([this, request = std::move(request), caller, policy = policy_, reply = std::move(reply)]() mutable {
    auto plan = plan_request(request, policy);
    loop_.post([this, plan = std::move(plan), caller, reply = std::move(reply)]() mutable {
      if (!plan) return reply(std::unexpected(plan.error()));
      if (shutting_down_) return reply(fail(Errc::kUnavailable, "chaosd is shutting down: nothing starts"));
      if (lease_ != nullptr && lease_->lapsed()) {
        return reply(fail(Errc::kUnavailable, "the lease has run out; chaosd is recovering", {}, "lease",
                          "try again in a second"));
      }
      auto admitted = admit(std::move(*plan), policy_, active_set());
      if (!admitted) return reply(std::unexpected(admitted.error()));
      arm(std::move(*admitted), caller, std::move(reply));
    });
  });
}

void Scenarios::arm(AdmittedPlan admitted, const Caller& caller, Reply reply) {
  const std::string id = make_ulid();
  Entry& entry = running_[id];
  entry.record = record_of(admitted.plan(), caller);
  entry.record.id = id;
  observer_(entry.record);
  worker_.post([this, id, admitted = std::move(admitted), caller, reply = std::move(reply)]() mutable {
    Result<std::shared_ptr<Fault>> fault = injector_.prepare(admitted, caller);
    if (fault) {
      if (Status status = (*fault)->arm(*admitted.plan().request.duration); !status) {
        (void)(*fault)->remove();
        fault = std::unexpected(status.error());
      }
    }
    loop_.post([this, id, fault = std::move(fault), reply = std::move(reply)]() mutable {
      armed(id, std::move(fault), std::move(reply));
    });
  });
}

void Scenarios::armed(const std::string& id, Result<std::shared_ptr<Fault>> fault, Reply reply) {
  Entry& entry = running_.find(id)->second;
  if (!fault) {
    entry.record.state = State::kFailed;
    entry.record.end_reason = EndReason::kError;
    entry.record.error = fault.error().message;
    entry.record.ended_at = system_clock().wall();
    finish(id);
    return reply(std::unexpected(fault.error()));
  }
  entry.fault = std::move(*fault);
  const auto duration = *entry.record.request.duration;
  entry.record.started_at = system_clock().wall();
  entry.record.ends_at = *entry.record.started_at + std::chrono::ceil<std::chrono::milliseconds>(duration);
  entry.record.state = State::kActive;
  // The brake may have been pulled, or the daemon told to go, while the worker was at it.
  if (entry.record.end_reason != EndReason::kNone) {
    const EndReason reason = std::exchange(entry.record.end_reason, EndReason::kNone);
    end(entry, reason);
    return reply(fail(Errc::kRefused, "ended before it acted: " + std::string(to_string(reason))));
  }
  if (auto timer = loop_.add_timer(duration, [this, id] {
        if (auto it = running_.find(id); it != running_.end()) end(it->second, EndReason::kExpired);
      })) {
    entry.deadline = std::move(*timer);
  } else {
    spdlog::error("scenario {}: {}", id, timer.error().message);
    end(entry, EndReason::kError);
    return reply(std::unexpected(timer.error()));
  }
  watch_targets();
  observer_(snapshot(entry));
  reply(snapshot(entry));
}

void Scenarios::end(Entry& entry, EndReason reason) {
  if (entry.record.end_reason != EndReason::kNone) return;
  entry.record.end_reason = reason;
  if (!entry.fault) return;  // still being armed: armed() takes it from here
  entry.fault->silence();
  entry.deadline.reset();
  entry.record.state = State::kStopping;
  observer_(snapshot(entry));
  worker_.post([this, id = entry.record.id, fault = entry.fault] {
    const Status status = fault->remove();
    loop_.post([this, id, status, counters = fault->counters()] { removed(id, status, counters); });
  });
}

void Scenarios::removed(const std::string& id, const Status& status, const Counters& counters) {
  Entry& entry = running_.find(id)->second;
  entry.record.counters = counters;
  entry.record.achieved = entry.fault->achieved(counters);
  entry.record.state = status ? final_state(entry.record.end_reason) : State::kFailed;
  if (!status) entry.record.error = status.error().message;
  if (counters.matched == 0) entry.record.warnings.emplace_back("no packet matched: nothing was injected");
  entry.record.ended_at = system_clock().wall();
  finish(id);
}

void Scenarios::finish(const std::string& id) {
  auto it = running_.find(id);
  const Scenario record = it->second.record;
  std::vector<Reply> waiting = std::move(it->second.waiting);
  running_.erase(it);
  observer_(record);
  for (Reply& reply : waiting) reply(record);
  if (running_.empty() && shut_down_done_) std::exchange(shut_down_done_, {})();
}

void Scenarios::stop(std::string_view id, Reply reply) {
  if (auto it = running_.find(id); it != running_.end()) {
    it->second.waiting.push_back(std::move(reply));
    return end(it->second, EndReason::kStopped);
  }
  reply(find(id));
}

void Scenarios::end_all(EndReason reason) {
  for (auto& [id, entry] : running_) {
    if (entry.fault) entry.fault->silence();
  }
  for (auto& [id, entry] : running_) end(entry, reason);
}

std::vector<std::string> Scenarios::emergency_stop(std::string_view why) {
  injector_.disarm_all();
  if (Status status = latch_.engage(std::string(why)); !status) {
    spdlog::critical("emergency stop: latched in memory only: {}", status.error().message);
  }
  std::vector<std::string> ids;
  for (const auto& [id, entry] : running_) {
    if (entry.record.end_reason == EndReason::kNone) ids.push_back(id);
  }
  end_all(EndReason::kEmergencyStop);
  return ids;
}

Status Scenarios::rearm() {
  if (!running_.empty()) {
    return fail(Errc::kRefused, fmt::format("{} scenarios are still being torn down", running_.size()), {},
                "re-arm when nothing runs", "try again in a moment");
  }
  if (Status status = latch_.release(); !status) return status;
  injector_.rearm();
  return {};
}

void Scenarios::on_lapse() {
  if (!running_.empty()) spdlog::error("the lease ran out: {} scenarios end as lapsed", running_.size());
  end_all(EndReason::kLapsed);
  if (lease_ != nullptr) lease_->restart();
}

void Scenarios::shut_down(std::function<void()> done) {
  shutting_down_ = true;
  if (running_.empty()) return done();
  shut_down_done_ = std::move(done);
  end_all(EndReason::kStopped);
}

void Scenarios::watch_targets() {
  for (auto& [id, entry] : running_) {
    if (!entry.fault || entry.record.state != State::kActive) continue;
    const Fault::TargetState state = entry.fault->target_state();
    if (state.gone) {
      spdlog::warn("scenario {}: its target is gone", id);
      end(entry, EndReason::kTargetGone);
      continue;
    }
    for (const std::string& name : state.missing) {
      const std::string warning = name + " is gone";
      if (!contains(entry.record.warnings, warning)) entry.record.warnings.push_back(warning);
    }
  }
  if (running_.empty()) {
    watch_.reset();
    return;
  }
  worker_.post([this] {
    if (Status status = injector_.refresh_protection(kProtectionAge); !status) {
      spdlog::error("protected traffic may be out of date: {}", status.error().message);
    }
  });
  if (watch_) return watch_->rearm(kWatchPeriod);
  if (auto timer = loop_.add_timer(kWatchPeriod, [this] { watch_targets(); })) {
    watch_ = std::move(*timer);
  } else {
    spdlog::error("cannot watch targets: {}", timer.error().message);
  }
}

ActiveSet Scenarios::active_set() const { return {running_.size(), latch_.engaged(), audit_broken_}; }

Scenario Scenarios::snapshot(const Entry& entry) const {
  Scenario record = entry.record;
  if (!entry.fault) return record;
  record.counters = entry.fault->counters();
  record.achieved = entry.fault->achieved(record.counters);
  if (record.state == State::kActive && record.counters.matched == 0 && record.started_at &&
      system_clock().wall() - *record.started_at > kSilentAfter) {
    record.warnings.emplace_back("active, but no packet has matched so far: nothing is injected");
  }
  return record;
}

std::vector<Scenario> Scenarios::list() const {
  std::vector<Scenario> all;
  for (const auto& [id, entry] : running_) all.push_back(snapshot(entry));
  return all;
}

Result<Scenario> Scenarios::find(std::string_view id) const {
  if (auto it = running_.find(id); it != running_.end()) return snapshot(it->second);
  return fail(Errc::kNotFound, "no scenario " + std::string(id), "id", {}, "see `chaosctl list --all`");
}

std::size_t Scenarios::running() const { return running_.size(); }

}  // namespace chaos
