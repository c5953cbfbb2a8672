// Keeps CPUs busy so that they are in use for a share of the time, by whomever: what others use is looked at five times
// a second, and the rest is used up by threads of its own.
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <deque>

#include "base/clock.h"
#include "base/units.h"
#include "load/burners.h"
#include "load/cpu_use.h"
#include "load/job.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::milliseconds kPeriod{200};
/// What others use is the average over this many periods.
constexpr std::size_t kWindow = 5;

Result<std::vector<unsigned>> numbers_in(const std::string& list) {
  std::vector<unsigned> numbers;
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    const auto number = parse_unsigned(std::string_view(list).substr(at, end - at));
    if (!number) return std::unexpected(number.error());
    numbers.push_back(static_cast<unsigned>(*number));
    at = end + 1;
  }
  return numbers;
}

std::size_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<std::size_t>(std::max(1, CPU_COUNT(&set))) : 1;
}

/// One look: what is in use, and what of it is used by the burners.
struct Look {
  std::vector<CpuTime> all;
  std::vector<nanoseconds> own;
  nanoseconds at{0};
};

class CpuJob final : public LoadJob {
 public:
  /// One burner for each CPU that is looked at; or many for one cgroup, which may use `allowed` CPUs.
  CpuJob(CpuUse use, double level, double allowed) : use_(std::move(use)), level_(level), allowed_(allowed) {}
  Status add(std::optional<unsigned> cpu) { return burners_.add(cpu); }

  Status look() {
    auto all = use_.read();
    if (!all) return std::unexpected(all.error());
    Look seen{.all = std::move(*all), .own = {}, .at = system_clock().monotonic()};
    for (std::size_t i = 0; i < burners_.count(); ++i) seen.own.push_back(burners_.used(i));
    looks_.push_back(std::move(seen));
    if (looks_.size() > kWindow + 1) looks_.pop_front();
    return {};
  }

  void begin() override {
    looks_.clear();
    (void)look();
    if (!looks_.empty()) first_ = looks_.front();
    for (std::size_t i = 0; i < burners_.count(); ++i) set(i, wanted(level_));
  }

  nanoseconds step() override {
    if (looks_.empty() || system_clock().monotonic() - looks_.back().at < kPeriod / 2) return kPeriod / 2;
    if (Status status = look(); !status) {
      remark_ = status.error().message;
      return kPeriod;
    }
    const Look& from = looks_.front();
    const Look& to = looks_.back();
    if (to.all.size() > 1 || allowed_ <= 0) {
      for (std::size_t i = 0; i < to.all.size(); ++i) set(i, level_ - (busy(from, to, i) - own(from, to, i)));
    } else {
      double own_share = 0;
      for (std::size_t i = 0; i < burners_.count(); ++i) own_share += own(from, to, i) / allowed_;
      const double share = wanted(level_ - (busy(from, to, 0) / allowed_ - own_share));
      for (std::size_t i = 0; i < burners_.count(); ++i) set(i, share);
    }
    return kPeriod;
  }

  std::map<std::string, std::string> figures() override {
    if (looks_.empty() || first_.all.empty()) return {};
    const Look& to = looks_.back();
    double all = 0;
    double own_part = 0;
    for (std::size_t i = 0; i < to.all.size(); ++i) all += busy(first_, to, i);
    for (std::size_t i = 0; i < burners_.count(); ++i) own_part += own(first_, to, i);
    const double whole = allowed_ > 0 ? allowed_ : static_cast<double>(to.all.size());
    return {{"level", format_percent(all / whole)}, {"own", format_percent(own_part / whole)}};
  }
  std::string remark() const override { return remark_; }

 private:
  /// A share of what the cgroup may use, as a share of one CPU for each burner.
  [[nodiscard]] double wanted(double share) const {
    return allowed_ > 0 ? share * allowed_ / static_cast<double>(burners_.count()) : share;
  }
  void set(std::size_t burner, double share) { burners_.set_share(burner, std::clamp(share, 0.0, 1.0)); }
  static double share_of(nanoseconds part, nanoseconds whole) {
    return whole.count() > 0 ? static_cast<double>(part.count()) / static_cast<double>(whole.count()) : 0;
  }
  [[nodiscard]] static double busy(const Look& from, const Look& to, std::size_t i) {
    return share_of(to.all[i].used - from.all[i].used, to.all[i].passed - from.all[i].passed);
  }
  [[nodiscard]] static double own(const Look& from, const Look& to, std::size_t i) {
    return share_of(to.own[i] - from.own[i], to.at - from.at);
  }

  const CpuUse use_;
  const double level_;
  const double allowed_;  ///< CPUs that the cgroup may use; 0: each CPU is looked at by itself
  Burners burners_;
  std::deque<Look> looks_;
  Look first_;
  std::string remark_;
};

}  // namespace

Result<std::unique_ptr<LoadJob>> make_cpu_job(const JobArguments& arguments) {
  const auto level = number(arguments, "level", 0);
  const auto allowed = number(arguments, "allowed", 0);
  const auto cpus = numbers_in(argument(arguments, "cpus"));
  const std::string usage = argument(arguments, "usage");
  if (!level) return std::unexpected(level.error());
  if (!allowed) return std::unexpected(allowed.error());
  if (!cpus) return std::unexpected(cpus.error());
  // In a cgroup, its cpuset counts as well: this process is in it.
  const std::size_t count = cpus->empty() ? usable_cpus() : cpus->size();
  auto job = std::make_unique<CpuJob>(usage.empty() ? CpuUse::of_cpus(*cpus) : CpuUse::of_cgroup(usage), *level,
                                      usage.empty() ? 0 : std::min(*allowed, static_cast<double>(count)));
  for (const unsigned cpu : *cpus) {
    if (Status status = job->add(cpu); !status) return std::unexpected(status.error());
  }
  for (std::size_t i = cpus->empty() ? count : 0; i > 0; --i) {
    if (Status status = job->add(std::nullopt); !status) return std::unexpected(status.error());
  }
  if (Status status = job->look(); !status) return std::unexpected(status.error());
  return job;
}

}  // namespace chaos
