#include "fault/scenarios.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/contains.h"
#include "base/ulid.h"
#include "fault/scenario_record.h"

namespace chaos {
namespace {

/// An active scenario that has matched nothing for this long says so.
constexpr std::chrono::seconds kSilentAfter{5};

}  // namespace

Scenarios::Scenarios(EventLoop& loop, Worker& worker, Injector& injector, Latch& latch, const Config& config,
                     Observer observer, WriteAhead write_ahead)
    : loop_(loop),
      worker_(worker),
      injector_(injector),
      latch_(latch),
      policy_(std::make_shared<const PlanPolicy>(config, injector_.packets().classic())),
      schedule_(config.chaos_testing),
      observer_(std::move(observer)),
      write_ahead_(std::move(write_ahead)),
      watch_(loop, worker, injector,
             {.gone = [this](const std::string& id, const std::string& detail) { target_gone(id, detail); },
              .warn = [this](const std::string& id, const std::string& warning) { warn(id, warning); },
              .failed = [this](const std::string& id, const std::string& why) { failed(id, why); }}) {
  watch_.set_services(config.services);
}

Scenarios::~Scenarios() = default;

Status Scenarios::check_up() const {
  if (shutting_down_) return fail(Errc::kUnavailable, "chaosd is shutting down: nothing starts");
  if (lease_ != nullptr && lease_->lapsed()) {
    return fail(Errc::kUnavailable, "the lease has run out; chaosd is recovering", {}, "lease",
                "try again in a second");
  }
  return {};
}

void Scenarios::plan(ScenarioRequest request, const Caller& caller, PlanReply reply) {
  worker_.post([this, request = std::move(request), caller, policy = policy_, reply = std::move(reply)]() mutable {
    auto plan = policy->plan(request);
    loop_.post([this, plan = std::move(plan), caller, reply = std::move(reply)]() mutable {
      if (!plan) return reply(std::unexpected(plan.error()));
      PlanReport report{record_of(*plan, caller), std::nullopt};
      const auto admitted = schedule_.consider(std::move(*plan), brakes(), system_clock().wall());
      if (!admitted) report.refusal = admitted.error();
      if (admitted && !*admitted) {
        report.scenario.queue_position = static_cast<unsigned>(schedule_.waiting() + 1);
      }
      reply(std::move(report));
    });
  });
}

void Scenarios::start(ScenarioRequest request, const Caller& caller, Reply reply) {
  Status status = check_brakes(brakes());
  if (status) status = check_up();
  if (!status) return reply(std::unexpected(status.error()));
  worker_.post([this, request = std::move(request), caller, policy = policy_, reply = std::move(reply)]() mutable {
    auto plan = policy->plan(request);
    loop_.post([this, plan = std::move(plan), caller, reply = std::move(reply)]() mutable {
      if (!plan) return reply(std::unexpected(plan.error()));
      planned(std::move(*plan), caller, std::move(reply));
    });
  });
}

void Scenarios::planned(Plan plan, const Caller& caller, Reply reply) {
  if (Status status = check_up(); !status) return reply(std::unexpected(status.error()));
  const std::string id = make_ulid();
  Scenario record = record_of(plan, caller);
  record.id = id;
  auto admitted = schedule_.request(id, std::move(plan), brakes(), system_clock().wall());
  if (!admitted) return reply(std::unexpected(admitted.error()));
  entries_[id].record = std::move(record);
  if (!*admitted) return wait_for_turn(id, std::move(reply));
  arm(id, std::move(**admitted), std::move(reply));
}

void Scenarios::wait_for_turn(const std::string& id, Reply reply) {
  Entry& entry = entries_.find(id)->second;
  entry.record.warnings.emplace_back("waits for its turn; the queue does not survive a restart of chaosd");
  auto timer = loop_.add_timer(schedule_.policy().queue_timeout, [this, id] {
    if (auto it = entries_.find(id); it != entries_.end()) end(it->second, EndReason::kExpired);
  });
  if (!timer) {
    abandon(id, EndReason::kError, timer.error());
    return reply(std::unexpected(timer.error()));
  }
  entry.deadline = std::move(*timer);
  // By its turn the caller may be gone, and its pid another's.
  if (const pid_t pid = std::exchange(entry.record.owner.pid, 0); pid > 0) {
    worker_.post([this, id, pid] {
      Status status = injector_.protect_caller(pid);
      if (status) return;
      loop_.post([this, id, why = status.error()] {
        if (entries_.contains(id)) end(entries_.find(id)->second, EndReason::kError);
        spdlog::error("scenario {} is cancelled: {}", id, why.message);
      });
    });
  }
  observer_(snapshot(entry));
  reply(snapshot(entry));
}

void Scenarios::take_turns() {
  if (shutting_down_ || latch_.engaged()) return;
  while (auto id = schedule_.next_turn()) take_turn(*id);
}

void Scenarios::take_turn(const std::string& id) {
  Entry& entry = entries_.find(id)->second;
  entry.deadline.reset();
  worker_.post([this, id, request = entry.record.request, policy = policy_] {
    auto plan = policy->plan(request);
    loop_.post([this, id, plan = std::move(plan)]() mutable {
      Entry& waited = entries_.find(id)->second;
      // Cancelled, or the brake was pulled, while the worker was at it.
      if (waited.record.end_reason != EndReason::kNone) return abandon(id, waited.record.end_reason, {});
      if (!plan) return abandon(id, reason_of(plan.error()), plan.error());
      take_over(waited.record, *plan);
      Status status = check_up();
      auto admitted = status ? schedule_.admit_turn(id, std::move(*plan), brakes(), system_clock().wall())
                             : std::unexpected(status.error());
      if (!admitted) return abandon(id, reason_of(admitted.error()), admitted.error());
      arm(id, std::move(*admitted), {});
    });
  });
}

void Scenarios::arm(const std::string& id, AdmittedPlan admitted, Reply reply) {
  Entry& entry = entries_.find(id)->second;
  entry.arming = std::make_unique<Arming>();
  entry.arming->reply = std::move(reply);
  const std::optional<SocketOwners>& owners = admitted.plan().reach.owners;
  entry.by_socket = owners.has_value();
  entry.identity = owners ? owners->identity : std::nullopt;
  observer_(entry.record);
  // Both at once: the disk and the kernel take their time, and nothing acts before both are through.
  worker_.post([this, id, admitted = std::move(admitted), caller = entry.record.owner] {
    Result<std::shared_ptr<Fault>> fault = injector_.prepare(admitted, caller);
    loop_.post([this, id, fault = std::move(fault)]() mutable {
      entries_.find(id)->second.arming->fault = std::move(fault);
      go_on_arming(id);
    });
  });
  write_ahead_(entry.record, [this, id](Status status) {
    entries_.find(id)->second.arming->on_record = std::move(status);
    go_on_arming(id);
  });
}

void Scenarios::go_on_arming(const std::string& id) {
  Entry& entry = entries_.find(id)->second;
  const Arming& arming = *entry.arming;
  if (!arming.fault || !arming.on_record) return;
  Status status;
  if (!*arming.fault) status = std::unexpected(arming.fault->error());
  if (status && !*arming.on_record) {
    status = fail(Errc::kRefused, "the audit log cannot be written: " + arming.on_record->error().message, {},
                  "audit before action", "see `chaosctl health` and the store's disk");
  }
  if (!*arming.fault) return armed(id, status);
  worker_.post([this, id, status, fault = **arming.fault, duration = *entry.record.request.duration]() mutable {
    if (status) status = fault->arm(duration);
    if (!status) (void)fault->remove();
    loop_.post([this, id, status = std::move(status)] { armed(id, status); });
  });
}

void Scenarios::armed(const std::string& id, const Status& status) {
  Entry& entry = entries_.find(id)->second;
  const std::unique_ptr<Arming> arming = std::move(entry.arming);
  const auto answer = [&](Result<Scenario> result) {
    if (arming->reply) arming->reply(std::move(result));
  };
  if (!status) {
    abandon(id, EndReason::kError, status.error());
    return answer(std::unexpected(status.error()));
  }
  entry.fault = std::move(**arming->fault);
  const auto duration = *entry.record.request.duration;
  entry.record.started_at = system_clock().wall();
  entry.record.ends_at = *entry.record.started_at + std::chrono::ceil<std::chrono::milliseconds>(duration);
  entry.record.state = State::kActive;
  schedule_.started(id, *entry.record.ends_at);
  // The brake may have been pulled, or the daemon told to go, while the worker was at it.
  if (entry.record.end_reason != EndReason::kNone) {
    const EndReason reason = std::exchange(entry.record.end_reason, EndReason::kNone);
    end(entry, reason);
    return answer(fail(Errc::kRefused, "ended before it acted: " + std::string(to_string(reason))));
  }
  auto timer = loop_.add_timer(duration, [this, id] {
    if (auto it = entries_.find(id); it != entries_.end()) end(it->second, EndReason::kExpired);
  });
  if (!timer) {
    spdlog::error("scenario {}: {}", id, timer.error().message);
    end(entry, EndReason::kError);
    return answer(std::unexpected(timer.error()));
  }
  entry.deadline = std::move(*timer);
  watch_.add({id, entry.record.request, entry.record.plan.parameters, entry.fault, entry.identity}, entry.by_socket);
  observer_(snapshot(entry));
  answer(snapshot(entry));
}

/// It ends without ever having acted.
void Scenarios::abandon(const std::string& id, EndReason reason, const Error& why) {
  Scenario& record = entries_.find(id)->second.record;
  record.end_reason = reason;
  record.state = final_state(record);
  record.error = why.message;
  finish(id);
}

void Scenarios::end(Entry& entry, EndReason reason) {
  if (entry.record.end_reason != EndReason::kNone) return;
  entry.record.end_reason = reason;
  if (schedule_.position(entry.record.id) > 0) {
    const std::string id = entry.record.id;
    return abandon(id, reason, {});
  }
  if (!entry.fault) return;  // still being planned or armed: that takes it from here
  entry.fault->silence();
  watch_.remove(entry.record.id);
  entry.deadline.reset();
  entry.record.state = State::kStopping;
  observer_(snapshot(entry));
  worker_.post([this, id = entry.record.id, fault = entry.fault] {
    const Status status = fault->remove();
    loop_.post([this, id, status, counters = fault->counters()] { removed(id, status, counters); });
  });
}

void Scenarios::removed(const std::string& id, const Status& status, const Counters& counters) {
  Entry& entry = entries_.find(id)->second;
  entry.record.counters = counters;
  entry.record.achieved = entry.fault->achieved(counters);
  entry.record.state = status ? final_state(entry.record) : State::kFailed;
  if (!status) entry.record.error = status.error().message;
  if (counters.matched == 0) {
    entry.record.warnings.push_back(fmt::format("no {} matched: nothing was injected", unit_of(entry.record)));
  }
  for (const std::string& remark : entry.fault->target_state().remarks) warn(id, remark);
  finish(id);
}

void Scenarios::finish(const std::string& id) {
  auto it = entries_.find(id);
  Entry entry = std::move(it->second);
  entries_.erase(it);
  schedule_.release(id);
  entry.record.ended_at = system_clock().wall();
  observer_(entry.record);
  for (Reply& reply : entry.for_the_end) reply(entry.record);
  if (entries_.empty() && shut_down_done_) std::exchange(shut_down_done_, {})();
  take_turns();
}

void Scenarios::stop(std::string_view id, InFlight held, Reply reply) {
  if (auto it = entries_.find(id); it != entries_.end()) {
    if (held == InFlight::kDrop && it->second.fault) it->second.fault->discard_held();
    it->second.for_the_end.push_back(std::move(reply));
    return end(it->second, EndReason::kStopped);
  }
  reply(find(id));
}

void Scenarios::end_all(EndReason reason) {
  for (auto& [id, entry] : entries_) {
    if (entry.fault) entry.fault->silence();
  }
  // Those that wait go from the map as they end.
  std::vector<std::string> ids;
  ids.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) ids.push_back(id);
  for (const std::string& id : ids) {
    if (auto it = entries_.find(id); it != entries_.end()) end(it->second, reason);
  }
}

std::vector<std::string> Scenarios::emergency_stop(std::string_view why) {
  injector_.disarm_all();
  if (Status status = latch_.engage(std::string(why)); !status) {
    spdlog::critical("emergency stop: latched in memory only: {}", status.error().message);
  }
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (entry.record.end_reason == EndReason::kNone) ids.push_back(id);
  }
  end_all(EndReason::kEmergencyStop);
  return ids;
}

Status Scenarios::rearm() {
  if (!latch_.engaged()) return {};
  if (!entries_.empty()) {
    return fail(Errc::kRefused, fmt::format("{} scenarios are still being torn down", entries_.size()), {},
                "re-arm when nothing runs", "try again in a moment");
  }
  if (Status status = latch_.release(); !status) return status;
  injector_.rearm();
  return {};
}

void Scenarios::on_lapse() {
  if (running() > 0) spdlog::error("the lease ran out: {} scenarios end as lapsed", running());
  for (auto& [id, entry] : entries_) {
    if (schedule_.position(id) == 0) end(entry, EndReason::kLapsed);
  }
  if (lease_ != nullptr) lease_->restart();
}

void Scenarios::shut_down(std::function<void()> done) {
  shutting_down_ = true;
  if (entries_.empty()) return done();
  shut_down_done_ = std::move(done);
  end_all(EndReason::kStopped);
}

std::vector<Schedule::Misfit> Scenarios::configure(const Config& config) {
  policy_ = std::make_shared<const PlanPolicy>(config, injector_.packets().classic());
  watch_.set_services(config.services);
  schedule_.set_policy(config.chaos_testing);
  std::vector<Schedule::Misfit> misfits = schedule_.misfits();
  for (const Schedule::Misfit& misfit : misfits) {
    Entry& entry = entries_.find(misfit.id)->second;
    const bool ends = config.chaos_testing.on_reload == OnReload::kEnd;
    const std::string_view outcome = ends ? "ended" : "kept";
    spdlog::warn("scenario {} no longer fits the configuration and is {}: {}", misfit.id, outcome, misfit.why.message);
    entry.record.warnings.push_back(
        fmt::format("no longer fits the reloaded configuration ({}): {}", outcome, misfit.why.message));
    if (ends) end(entry, EndReason::kLimit);
  }
  take_turns();
  return misfits;
}

void Scenarios::target_gone(const std::string& id, const std::string& detail) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  spdlog::warn("scenario {}: its target is gone: {}", id, detail);
  end(found->second, EndReason::kTargetGone);
}

void Scenarios::failed(const std::string& id, const std::string& why) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  // What has ended with the lease has not failed, whoever is the first to tell.
  if (lease_ != nullptr && (lease_->lapsed() || lease_->margin() < std::chrono::nanoseconds(0))) {
    return end(found->second, EndReason::kLapsed);
  }
  spdlog::error("scenario {}: {}", id, why);
  found->second.record.error = why;
  end(found->second, EndReason::kError);
}

void Scenarios::warn(const std::string& id, const std::string& warning) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  std::vector<std::string>& warnings = found->second.record.warnings;
  if (!contains(warnings, warning)) warnings.push_back(warning);
}

Scenario Scenarios::snapshot(const Entry& entry) const {
  Scenario record = entry.record;
  if (const unsigned position = schedule_.position(record.id); position > 0) {
    record.queue_position = position;
    record.expected_start_at = schedule_.expected_start(record.id, system_clock().wall());
  }
  if (!entry.fault) return record;
  record.counters = entry.fault->counters();
  record.achieved = entry.fault->achieved(record.counters);
  if (record.state == State::kActive && record.counters.matched == 0 && record.started_at &&
      system_clock().wall() - *record.started_at > kSilentAfter) {
    record.warnings.push_back(
        fmt::format("active, but no {} has matched so far: nothing is injected", unit_of(record)));
  }
  return record;
}

std::vector<std::string> Scenarios::running_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_) {
    if (schedule_.position(id) == 0) ids.push_back(id);
  }
  return ids;
}

std::vector<Scenario> Scenarios::list() const {
  std::vector<Scenario> all;
  all.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) all.push_back(snapshot(entry));
  return all;
}

Result<Scenario> Scenarios::find(std::string_view id) const {
  if (auto it = entries_.find(id); it != entries_.end()) return snapshot(it->second);
  return fail(Errc::kNotFound, "no scenario " + std::string(id), "id", {}, "see `chaosctl list --all`");
}

}  // namespace chaos
