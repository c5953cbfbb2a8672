// Scenarios: the life cycle. Takes requests, has them planned and admitted, has the injector make faults of admitted
// plans, and keeps the record of each scenario to its end. Everything here runs on the loop thread; what can block
// (planning, links) runs on the worker and comes back by EventLoop::post.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/worker.h"
#include "config/config.h"
#include "fault/injector.h"
#include "plan/parameters.h"
#include "plan/scenario.h"
#include "safety/latch.h"
#include "safety/lease.h"

namespace chaos {

/// What the configuration says about a kind's parameters, in the planner's terms.
[[nodiscard]] ParameterPolicy parameter_policy(const KindPolicy& policy);

class Scenarios {
 public:
  /// The outcome of a dry run: what would be touched, and whether policy lets it through now.
  struct PlanReport {
    Scenario scenario;             ///< id empty, state queued, plan filled in
    std::optional<Error> refusal;  ///< why it would not be admitted; empty if it would
  };
  using Reply = std::move_only_function<void(Result<Scenario>)>;
  using PlanReply = std::move_only_function<void(Result<PlanReport>)>;
  /// Called on every change of a scenario's record, in order.
  using Observer = std::function<void(const Scenario&)>;

  /// All must outlive it. `policy` is copied.
  Scenarios(EventLoop& loop, Worker& worker, Injector& injector, Latch& latch, ChaosTesting policy, Observer observer);
  /// shut_down() must have finished, or nothing ever have been started.
  ~Scenarios();
  Scenarios(const Scenarios&) = delete;
  Scenarios& operator=(const Scenarios&) = delete;

  /// Resolves and checks; changes nothing. Errors as start().
  void plan(ScenarioRequest request, const Caller& caller, PlanReply reply);
  /// Replies once the fault acts (state active). Errors: kInvalid, kNotFound (target), kRefused, kUnsupported,
  /// kUnavailable, kInternal; then nothing is left applied.
  void start(ScenarioRequest request, const Caller& caller, Reply reply);
  /// The fault is silent when this returns (one store); the reply comes when it is removed. Error: kNotFound, also when
  /// it has ended already.
  void stop(std::string_view id, Reply reply);
  /// Silences all at once by one store, latches, then tears down in order. The ids that it ended. Never fails: a latch
  /// that cannot be written is engaged in memory and logged.
  std::vector<std::string> emergency_stop(std::string_view why);
  /// Lifts the latch. Errors: kRefused while scenarios are still being torn down; kInternal if the file resists.
  Status rearm();
  /// The lease has run out: every running scenario ends as lapsed, nothing is re-applied; then the lease starts again.
  void on_lapse();
  void set_lease(Lease& lease) { lease_ = &lease; }
  /// Ends everything in order and calls `done` when the kernel is clean. Nothing starts from here on.
  void shut_down(std::function<void()> done);
  void set_policy(ChaosTesting policy) { policy_ = std::move(policy); }
  void set_audit_broken(bool broken) { audit_broken_ = broken; }

  /// What runs, oldest first. What has ended is in the observer's hands.
  [[nodiscard]] std::vector<Scenario> list() const;
  /// A running one. Error: kNotFound, also when it has ended.
  [[nodiscard]] Result<Scenario> find(std::string_view id) const;
  /// Queued, active or being torn down.
  [[nodiscard]] std::size_t running() const;

 private:
  struct Entry {
    Scenario record;
    std::shared_ptr<Fault> fault;  ///< shared with the worker while it removes it
    EventLoop::SourcePtr deadline;
    std::vector<Reply> waiting;  ///< for the end
  };
  void planned(Result<Plan> plan, ScenarioRequest request, const Caller& caller, Reply reply);
  void arm(AdmittedPlan admitted, const Caller& caller, Reply reply);
  void armed(const std::string& id, Result<std::shared_ptr<Fault>> fault, Reply reply);
  void end(Entry& entry, EndReason reason);
  void removed(const std::string& id, const Status& status, const Counters& counters);
  void watch_targets();
  void finish(const std::string& id);
  [[nodiscard]] ActiveSet active_set() const;
  [[nodiscard]] Scenario snapshot(const Entry& entry) const;
  void end_all(EndReason reason);

  EventLoop& loop_;
  Worker& worker_;
  Injector& injector_;
  Latch& latch_;
  Lease* lease_ = nullptr;
  ChaosTesting policy_;
  Observer observer_;
  bool audit_broken_ = false;
  std::function<void()> shut_down_done_;
  bool shutting_down_ = false;
  EventLoop::SourcePtr watch_;
  std::map<std::string, Entry, std::less<>> running_;  ///< by ULID: in order of creation
};

}  // namespace chaos
