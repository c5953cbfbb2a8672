#include "fault/fd_limiter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/contains.h"
#include "fault/cgroup_files.h"
#include "kernel/fd_limits.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

/// An entry of the undo journal has its limit, and each takes the disk a moment.
constexpr std::size_t kInOneRecord = 256;

std::string cgroup_path(pid_t pid) {
  return cgroup_of(proc::read_record("/proc/" + std::to_string(pid) + "/cgroup").value_or(""));
}

std::unexpected<Error> nothing_to_lower() {
  return fail(Errc::kRefused, "no process of the target may open more files than that already", "parameters.level",
              "a limit below those that there are", "choose a higher level");
}

}  // namespace

Result<std::uint64_t> lowered_fd_limit(const ProcessReach& reach, Probability level) {
  std::uint64_t most = 0;
  std::vector<std::uint64_t> limits;
  for (const ProcessId& member : reach.members) {
    const auto limit = fd_limits(member);
    if (!limit && limit.error().code != Errc::kNotFound) return std::unexpected(limit.error());
    if (!limit) continue;
    limits.push_back(limit->soft);
    most = std::max(most, open_fds(member.pid).value_or(0));
  }
  if (limits.empty()) return fail(Errc::kNotFound, "no process of the target runs", "target", {}, "start it first");
  std::uint64_t limit = share_left(most, level);
  while (limit > 0 && contains(limits, limit)) --limit;
  const bool any = std::ranges::any_of(limits, [limit](std::uint64_t soft) { return soft > limit; });
  if (!any || contains(limits, limit)) return nothing_to_lower();
  return limit;
}

Result<std::unique_ptr<FdLimiter>> FdLimiter::create(UndoJournal& journal, const ProcessReach& reach,
                                                     Probability level) {
  const auto limit = lowered_fd_limit(reach, level);
  if (!limit) return std::unexpected(limit.error());
  return std::unique_ptr<FdLimiter>(new FdLimiter(journal, *limit, reach.members));
}

Status FdLimiter::apply() {
  applied_ = true;
  Status status = lower(members_);
  if (status && changes_.empty()) status = nothing_to_lower();
  if (!status) withdraw();
  return status;
}

Status FdLimiter::lower(const std::vector<ProcessId>& candidates) {
  FdLimitsLowered lowered{limit_, {}};
  for (const ProcessId& candidate : candidates) {
    const auto now = fd_limits(candidate);
    if (!now && now.error().code != Errc::kNotFound) return std::unexpected(now.error());
    if (!now || now->soft < limit_) continue;
    FdLimitsLowered::One one{candidate.pid, candidate.start_ticks,   now->soft,
                             now->hard,     ::getsid(candidate.pid), cgroup_path(candidate.pid)};
    if (now->soft == limit_) {
      // It has the limit by inheritance. One that nobody would find once its ancestors have ended is put on record.
      if (one.cgroup != "/" || changes_.empty() || has_session(one.session)) continue;
      one.before = std::get<FdLimitsLowered>(changes_.front()->action()).processes.front().before;
    }
    lowered.processes.push_back(std::move(one));
  }
  for (std::size_t begin = 0; begin < lowered.processes.size(); begin += kInOneRecord) {
    const auto part = std::span(lowered.processes).subspan(begin);
    const FdLimitsLowered record{
        limit_, {part.begin(), part.begin() + static_cast<std::ptrdiff_t>(std::min(kInOneRecord, part.size()))}};
    auto change = JournaledChange::make(journal_, record, [&]() -> Status {
      for (const FdLimitsLowered::One& one : record.processes) {
        const auto done = change_fd_limit({one.pid, one.start_ticks}, {one.before, one.hard}, limit_);
        if (!done && done.error().code != Errc::kNotFound) return std::unexpected(done.error());
      }
      return {};
    });
    if (!change) return std::unexpected(change.error());
    changes_.push_back(std::make_unique<JournaledChange>(std::move(*change)));
  }
  return {};
}

template <class Matches>
bool FdLimiter::any_on_record(const Matches& matches) const {
  return std::ranges::any_of(changes_, [&](const auto& change) {
    return std::ranges::any_of(std::get<FdLimitsLowered>(change->action()).processes, matches);
  });
}

bool FdLimiter::on_record(const ProcessId& process) const {
  return any_on_record([&](const FdLimitsLowered::One& one) {
    return one.pid == process.pid && one.start_ticks == process.start_ticks;
  });
}

bool FdLimiter::has_session(pid_t session) const {
  return any_on_record([&](const FdLimitsLowered::One& one) { return one.session == session; });
}

void FdLimiter::withdraw() {
  applied_ = false;
  (void)finish();
}

Status FdLimiter::finish() {
  Status status;
  for (const auto& change : changes_) {
    const UndoResult result = change->undo_now();
    if (result.outcome == UndoOutcome::kTheirs) remark("a limit of open files stays theirs: " + result.detail);
    if (result.outcome != UndoOutcome::kFailed) continue;
    status = fail(Errc::kInternal, result.detail);
    remark("a limit of open files could not be raised again: " + result.detail);
  }
  changes_.clear();
  return status;
}

Status FdLimiter::follow(const ProcessReach& reach) {
  members_ = reach.members;
  if (!applied_) return {};
  std::vector<ProcessId> come;
  for (const ProcessId& member : members_) {
    // Who has raised it again has it as they want it.
    if (!on_record(member)) come.push_back(member);
  }
  return lower(come);
}

void FdLimiter::check() {
  std::size_t limited = 0;
  for (const ProcessId& member : members_) {
    const auto now = fd_limits(member);
    if (!now) continue;
    limited += now->soft <= limit_ ? 1 : 0;
    if (now->soft != limit_ && on_record(member)) {
      remark(fmt::format("process {} may open {} files, where it was {}: somebody else has changed it", member.pid,
                         now->soft, limit_));
    }
  }
  figures_ = {{"limited", fmt::format("{} of {} processes", limited, members_.size())}};
}

void FdLimiter::remark(std::string text) {
  if (!contains(remarks_, text)) remarks_.push_back(std::move(text));
}

}  // namespace chaos
