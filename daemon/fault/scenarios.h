// Scenarios: the life cycle. Takes requests, has them planned and admitted, has the injector make faults of admitted
// plans, and keeps the record of each scenario to its end. Everything here runs on the loop thread; what can block
// (planning, links) runs on the worker and comes back by EventLoop::post.
#pragma once

#include <chrono>
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
#include "fault/plan_policy.h"
#include "fault/target_watch.h"
#include "plan/scenario.h"
#include "safety/latch.h"
#include "safety/lease.h"
#include "safety/schedule.h"

namespace chaos {

class Scenarios {
 public:
  /// The outcome of a dry run: what would be touched, and whether policy lets it through now.
  struct PlanReport {
    Scenario scenario;             ///< id empty, state queued, plan filled in; queue_position if it would have to wait
    std::optional<Error> refusal;  ///< why it would not be admitted; empty if it would
  };
  using Reply = std::move_only_function<void(Result<Scenario>)>;
  using PlanReply = std::move_only_function<void(Result<PlanReport>)>;
  /// Called on every change of a scenario's record, in order.
  using Observer = std::function<void(const Scenario&)>;
  /// Makes it durable that the scenario is about to act; calls back on the loop thread. Nothing acts before that, or
  /// if it fails.
  using WriteAhead = std::function<void(const Scenario&, std::move_only_function<void(Status)>)>;

  /// All must outlive it. `config`: policy, services, protected things.
  Scenarios(EventLoop& loop, Worker& worker, Injector& injector, Latch& latch, const Config& config, Observer observer,
            WriteAhead write_ahead);
  /// shut_down() must have finished, or nothing ever have been started.
  ~Scenarios();
  Scenarios(const Scenarios&) = delete;
  Scenarios& operator=(const Scenarios&) = delete;

  /// Resolves and checks; changes nothing. Errors as start().
  void plan(ScenarioRequest request, const Caller& caller, PlanReply reply);
  /// Replies once the fault acts (state active), or once it waits for its turn (state queued). Errors: kInvalid,
  /// kNotFound (target), kRefused, kUnsupported, kUnavailable, kInternal; then nothing is left applied.
  void start(ScenarioRequest request, const Caller& caller, Reply reply);
  /// The fault is silent when this returns (one store); the reply comes when it is removed. One that waits is
  /// cancelled. Error: kNotFound, also when it has ended already.
  void stop(std::string_view id, InFlight held, Reply reply);
  /// Silences all at once by one store, latches, empties the queue, then tears down in order. The ids that it ended.
  /// Never fails: a latch that cannot be written is engaged in memory and logged.
  std::vector<std::string> emergency_stop(std::string_view why);
  /// Lifts the latch. Errors: kRefused while scenarios are still being torn down; kInternal if the file resists.
  Status rearm();
  /// The lease has run out: every running scenario ends as lapsed, nothing is re-applied; then the lease starts again.
  void on_lapse();
  void set_lease(Lease& lease) { lease_ = &lease; }
  /// Ends everything in order and calls `done` when the kernel is clean. Nothing starts from here on; the queue is
  /// lost.
  void shut_down(std::function<void()> done);
  /// Takes effect for what comes. Running scenarios that it would refuse, each with why; ended if the policy says so.
  std::vector<Schedule::Misfit> configure(const Config& config);
  void set_audit_broken(bool broken) { audit_broken_ = broken; }

  /// What waits or runs, oldest first. What has ended is in the observer's hands.
  [[nodiscard]] std::vector<Scenario> list() const;
  /// One of these. Error: kNotFound, also when it has ended.
  [[nodiscard]] Result<Scenario> find(std::string_view id) const;
  /// Has a slot: being armed, active or being torn down.
  [[nodiscard]] std::size_t running() const { return schedule_.running(); }
  [[nodiscard]] std::vector<std::string> running_ids() const;  ///< of these, oldest first
  [[nodiscard]] std::size_t waiting() const { return schedule_.waiting(); }

 private:
  /// What arming waits for: both, in whatever order they come.
  struct Arming {
    std::optional<Result<std::shared_ptr<Fault>>> fault;
    std::optional<Status> on_record;
    Reply reply;  ///< empty when it has been answered already
  };
  struct Entry {
    Scenario record;
    std::unique_ptr<Arming> arming;
    std::shared_ptr<Fault> fault;           ///< acts, or did; shared with the worker while it removes it
    EventLoop::SourcePtr deadline;          ///< of its duration; of its wait while it waits
    bool by_socket = false;                 ///< its target is followed
    std::optional<std::uint64_t> identity;  ///< SocketOwners::identity
    std::vector<Reply> for_the_end;         ///< answered then
  };

  void planned(Plan plan, const Caller& caller, Reply reply);
  void wait_for_turn(const std::string& id, Reply reply);
  void take_turns();
  void take_turn(const std::string& id);
  void arm(const std::string& id, AdmittedPlan admitted, Reply reply);
  void go_on_arming(const std::string& id);
  void armed(const std::string& id, const Status& status);
  void abandon(const std::string& id, EndReason reason, const Error& why);
  void end(Entry& entry, EndReason reason);
  void end_all(EndReason reason);
  void removed(const std::string& id, const Status& status, const Counters& counters);
  void finish(const std::string& id);
  void target_gone(const std::string& id, const std::string& detail);
  void failed(const std::string& id, const std::string& why);
  void warn(const std::string& id, const std::string& warning);
  [[nodiscard]] Status check_up() const;
  [[nodiscard]] Brakes brakes() const { return {latch_.engaged(), audit_broken_}; }
  [[nodiscard]] Scenario snapshot(const Entry& entry) const;

  EventLoop& loop_;
  Worker& worker_;
  Injector& injector_;
  Latch& latch_;
  Lease* lease_ = nullptr;
  std::shared_ptr<const PlanPolicy> policy_;  ///< shared with plans in the making
  Schedule schedule_;
  Observer observer_;
  WriteAhead write_ahead_;
  bool audit_broken_ = false;
  std::function<void()> shut_down_done_;
  bool shutting_down_ = false;
  TargetWatch watch_;
  std::map<std::string, Entry, std::less<>> entries_;  ///< what waits or runs, by ULID: in order of creation
};

}  // namespace chaos
