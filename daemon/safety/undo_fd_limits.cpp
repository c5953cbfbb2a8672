#include "safety/undo_fd_limits.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/contains.h"
#include "kernel/fd_limits.h"

namespace chaos {
namespace {

/// Who forks while it is looked for is found by the next look: those that have been raised pass nothing on.
constexpr int kRounds = 32;

class Raiser {
 public:
  Raiser(const FdLimitsLowered& lowered, bool act) : lowered_(lowered), act_(act) {}

  UndoResult run() {
    for (const auto& one : lowered_.processes) raise({one.pid, one.start_ticks}, one);
    for (int round = 0; round < kRounds && raise_heirs(); ++round) {
    }
    return result();
  }

 private:
  void raise(const ProcessId& id, const FdLimitsLowered::One& origin) {
    seen_.insert(id);
    const auto now = fd_limits(id);
    if (!now) {
      if (now.error().code != Errc::kNotFound) failures_ += now.error().message + "; ";
      return;
    }
    any_alive_ = true;
    if (now->soft == origin.before) return;
    bool ours = now->soft == lowered_.written;
    if (ours && act_) {
      const auto raised = change_fd_limit(id, *now, std::min(origin.before, now->hard));
      if (!raised && raised.error().code != Errc::kNotFound) failures_ += raised.error().message + "; ";
      ours = !raised || *raised;
    }
    if (ours) {
      ++undone_;
    } else {
      theirs_ += fmt::format("process {} has {}, and we set {}; ", id.pid, now->soft, lowered_.written);
    }
  }

  /// True if there were any.
  bool raise_heirs() {
    const auto all = list_user_processes();
    if (!all) {
      failures_ += all.error().message + "; ";
      return false;
    }
    const std::size_t before = seen_.size();
    for (const Process& process : *all) {
      if (seen_.contains(process.id())) continue;
      const FdLimitsLowered::One* origin = origin_of(lowered_, process, ::getsid(process.pid), *all);
      const auto now = origin != nullptr ? fd_limits(process.id()) : Result<FdLimits>();
      if (origin != nullptr && now && now->soft == lowered_.written) raise(process.id(), *origin);
    }
    return seen_.size() > before && act_;
  }

  [[nodiscard]] UndoResult result() const {
    if (!failures_.empty()) return {UndoOutcome::kFailed, failures_};
    if (!theirs_.empty()) return {UndoOutcome::kTheirs, theirs_};
    if (undone_ > 0) return {UndoOutcome::kUndone, {}};
    if (any_alive_) return {UndoOutcome::kNotNeeded, {}};
    return {UndoOutcome::kGone, "the processes have ended"};
  }

  const FdLimitsLowered& lowered_;
  const bool act_;
  std::set<ProcessId> seen_;
  bool any_alive_ = false;
  std::size_t undone_ = 0;
  std::string theirs_;
  std::string failures_;
};

/// `pid` and those above it.
std::set<pid_t> line_of(pid_t pid, const std::vector<Process>& all) {
  std::set<pid_t> line;
  while (line.insert(pid).second) {
    const auto process = std::ranges::lower_bound(all, pid, {}, &Process::pid);
    if (process == all.end() || process->pid != pid) break;
    pid = process->parent;
  }
  return line;
}

}  // namespace

UndoResult raise_fd_limits(const FdLimitsLowered& lowered) { return Raiser(lowered, true).run(); }
UndoResult look_at_fd_limits(const FdLimitsLowered& lowered) { return Raiser(lowered, false).run(); }

const FdLimitsLowered::One* origin_of(const FdLimitsLowered& lowered, const Process& process, pid_t session,
                                      const std::vector<Process>& all) {
  const std::set<pid_t> line = line_of(process.pid, all);
  const FdLimitsLowered::One* found = nullptr;
  for (const FdLimitsLowered::One& one : lowered.processes) {
    if (process.start_ticks < one.start_ticks) continue;
    const auto ancestor = std::ranges::lower_bound(all, one.pid, {}, &Process::pid);
    const bool lives = ancestor != all.end() && ancestor->id() == ProcessId{one.pid, one.start_ticks};
    if (lives && line.contains(one.pid)) return &one;
    const bool same_place = one.cgroup != "/" && process.cgroup == one.cgroup;
    const bool same_session = one.session > 0 && session == one.session;
    if (found == nullptr && (same_place || same_session)) found = &one;
  }
  return found;
}

}  // namespace chaos
