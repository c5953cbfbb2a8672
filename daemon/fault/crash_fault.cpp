#include "fault/crash_fault.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>

#include "base/units.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

/// How fine the kernel tells when a process started.
nanoseconds tick() { return nanoseconds(std::chrono::seconds(1)) / sysconf(_SC_CLK_TCK); }

/// A signal that is handled may take its time; looked at in steps, so that an end of the scenario is noticed.
constexpr std::chrono::milliseconds kDeathStep{20};

std::string text_of(nanoseconds value) {
  return format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(value));
}

}  // namespace

CrashFault::CrashFault(const ProcessReach& reach, ActGate gate, Options options)
    : options_(options), reach_(reach), stint_(gate) {}

Status CrashFault::arm(nanoseconds duration) {
  if (stint_.over()) return fail(Errc::kUnavailable, "the emergency stop or the lease stands in the way");
  return stint_.start(duration, [this] { run(); });
}

void CrashFault::run() {
  auto next = std::chrono::steady_clock::now();
  while (stint_.sleep_until(next)) {
    strike();
    if (!options_.every) return;
    next += *options_.every;
  }
}

void CrashFault::count(std::uint64_t Counters::*outcome) {
  ++(counters_.*outcome);
  counters_.matched = counters_.injected + counters_.shadowed + counters_.spared_budget;
  counters_.evaluated = counters_.matched + counters_.unmatched;
}

void CrashFault::strike() {
  const auto main = current_main();
  std::optional<ProcessHandle> process;
  {
    const std::scoped_lock lock(mutex_);
    if (main && !has_number_of_struck(*main)) {
      if (auto handle = ProcessHandle::open(*main)) process = std::move(*handle);
    }
    if (!process) return count(&Counters::unmatched);
    if (options_.max_events && counters_.injected + counters_.shadowed >= *options_.max_events) {
      return count(&Counters::spared_budget);
    }
    if (options_.shadow) return count(&Counters::shadowed);
    const BootTime now = system_clock().boottime();
    if (const Status sent = process->signal(options_.signo); !sent) {
      if (sent.error().code != Errc::kNotFound) spdlog::error("crash: {}", sent.error().message);
      return count(&Counters::unmatched);
    }
    count(&Counters::injected);
    struck_ = process->id();
    away_since_ = now;
    struck_at_.push_back(system_clock().monotonic());
  }
  const auto give_up = std::chrono::steady_clock::now() + options_.every.value_or(std::chrono::hours(24));
  while (!process->ends_within(kDeathStep)) {
    if (stint_.over() || std::chrono::steady_clock::now() >= give_up) return;
  }
  const std::scoped_lock lock(mutex_);
  ++died_;
}

/// What names a target by number (a pid file) names the one that has ended until there is another: who gets the number
/// meanwhile is a stranger.
bool CrashFault::has_number_of_struck(const ProcessId& process) const {
  return struck_ && process.pid == struck_->pid && process != *struck_ && reach_.unit.empty();
}

/// Without the lock: systemd may take its time.
std::optional<ProcessId> CrashFault::current_main() const {
  ProcessReach reach;
  {
    const std::scoped_lock lock(mutex_);
    reach = reach_;
  }
  return main_process(reach);
}

Status CrashFault::follow(const Reach& reach) {
  const ProcessReach now = reach.processes.value_or(ProcessReach{});
  const auto main = main_process(now);
  const std::scoped_lock lock(mutex_);
  reach_ = now;
  if (!main || !away_since_ || main == struck_ || has_number_of_struck(*main)) return {};
  // Another member that is older is the next in line, and nothing that has come back.
  const nanoseconds started = static_cast<std::int64_t>(main->start_ticks) * tick();
  if (started + tick() < *away_since_) return {};
  back_after_.push_back(std::max(started - *away_since_, nanoseconds(0)));
  away_since_.reset();
  return {};
}

Status CrashFault::remove() {
  stint_.join();
  return {};
}

Counters CrashFault::counters() const {
  const std::scoped_lock lock(mutex_);
  return counters_;
}

std::map<std::string, std::string> CrashFault::achieved(const Counters& /*counters*/) const {
  const std::scoped_lock lock(mutex_);
  std::map<std::string, std::string> all;
  if (struck_at_.empty()) return all;
  all["died"] = fmt::format("{} of {}", died_, struck_at_.size());
  all["came_back"] = fmt::format("{} of {}", back_after_.size(), struck_at_.size());
  if (!back_after_.empty()) {
    std::vector<nanoseconds> sorted = back_after_;
    std::ranges::sort(sorted);
    all["back_after"] = fmt::format("p50 {}, max {}", text_of(sorted[(sorted.size() - 1) / 2]), text_of(sorted.back()));
  }
  if (options_.every && struck_at_.size() > 1) {
    const auto gaps = static_cast<std::int64_t>(struck_at_.size() - 1);
    all["every"] = text_of((struck_at_.back() - struck_at_.front()) / gaps);
  }
  return all;
}

}  // namespace chaos
