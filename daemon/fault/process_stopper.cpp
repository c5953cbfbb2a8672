#include "fault/process_stopper.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "base/contains.h"
#include "kernel/proc_tree.h"
#include "kernel/process_handle.h"

namespace chaos {
namespace {

/// A process can fork until it stands: so often its children are looked for again.
constexpr int kRounds = 32;

std::vector<ProcessId> with_children(const std::vector<ProcessId>& members) {
  const auto all = list_user_processes();
  if (!all) return members;
  std::set<ProcessId> found(members.begin(), members.end());
  for (const ProcessId& member : members) {
    const auto process = std::ranges::find(*all, member.pid, &Process::pid);
    if (process == all->end() || process->id() != member) continue;
    for (const pid_t pid : with_descendants(*all, member.pid)) {
      found.insert(std::ranges::find(*all, pid, &Process::pid)->id());
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace

Status ProcessStopper::apply() {
  applied_ = true;
  Status status = stop_all();
  if (!status) withdraw();
  return status;
}

Status ProcessStopper::stop_all() {
  for (int round = 0; round < kRounds; ++round) {
    bool new_ones = false;
    for (const ProcessId& member : members_) {
      if (round > 0 && stopped_.contains(member)) continue;
      new_ones = true;
      if (Status status = stop(member); !status && status.error().code != Errc::kNotFound) return status;
    }
    std::erase_if(members_, [this](const ProcessId& id) { return !stopped_.contains(id); });
    if (stopped_.empty()) return fail(Errc::kUnavailable, "none of the target's processes is there to be stopped");
    if (quick_ || !new_ones) return {};
    members_ = with_children(members_);
  }
  remark("its processes fork faster than they can be stopped: some go on");
  return {};
}

Status ProcessStopper::stop(const ProcessId& id) {
  const auto process = ProcessHandle::open(id);
  if (!process) {
    stopped_.erase(id);
    return std::unexpected(process.error());
  }
  if (stopped_.contains(id)) return process->signal(SIGSTOP);
  if (proc::is_stopped("/proc", id.pid)) {
    remark(fmt::format("process {} was stopped already, by somebody else: it is left to them", id.pid));
    return fail(Errc::kNotFound, "stopped by somebody else");
  }
  auto change =
      JournaledChange::make(journal_, ProcessStopped{id.pid, id.start_ticks}, [&] { return process->signal(SIGSTOP); });
  if (!change) return std::unexpected(change.error());
  stopped_.emplace(id, std::move(*change));
  return {};
}

void ProcessStopper::withdraw() {
  applied_ = false;
  for (const auto& [id, change] : stopped_) {
    // In any case, as the undo of the record does: see there.
    if (const auto process = ProcessHandle::open(id)) (void)process->signal(SIGCONT);
  }
}

Status ProcessStopper::finish() {
  Status status;
  for (auto& [id, change] : stopped_) {
    const std::string what = describe(change.action());
    const UndoResult result = change.undo_now();
    if (result.outcome == UndoOutcome::kFailed) status = fail(Errc::kInternal, what + ": " + result.detail);
  }
  stopped_.clear();
  return status;
}

Status ProcessStopper::follow(const ProcessReach& reach) {
  std::erase_if(stopped_, [](const auto& entry) { return !ProcessHandle::open(entry.first); });
  members_ = reach.members;
  // Those that it has stopped and that are not named any more have been moved, and not let go.
  for (const auto& [id, change] : stopped_) {
    if (!contains(members_, id)) members_.push_back(id);
  }
  if (!applied_) return {};
  for (const ProcessId& member : members_) {
    if (stopped_.contains(member)) continue;
    if (Status status = stop(member); !status && status.error().code != Errc::kNotFound) return status;
  }
  return {};
}

void ProcessStopper::check() {
  halted_ = 0;
  looked_at_ = members_.size();
  for (const ProcessId& member : members_) {
    if (proc::is_stopped("/proc", member.pid)) {
      ++halted_;
    } else if (applied_ && stopped_.contains(member) && ProcessHandle::open(member)) {
      remark(fmt::format("process {} runs again: somebody else has let it go on", member.pid));
    }
  }
}

std::map<std::string, std::string> ProcessStopper::figures() const {
  if (quick_ || looked_at_ == 0) return {};
  return {{"halted", fmt::format("{} of {} processes", halted_, looked_at_)}};
}

void ProcessStopper::remark(std::string text) {
  if (!contains(remarks_, text)) remarks_.push_back(std::move(text));
}

}  // namespace chaos
