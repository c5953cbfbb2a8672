// LoadWorkers: a HostChange that is made of load workers: processes that take what others shall not have. Each ends
// with chaosd; nothing of it is on record, since nothing outlives it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fault/host_change.h"
#include "fault/load_process.h"
#include "plan/plan.h"

namespace chaos {

class LoadWorkers final : public HostChange {
 public:
  /// The orders for where the target is now; `reach` is empty for the host. Errors: kRefused, kUnsupported, kNotFound.
  using Find = std::function<Result<std::vector<LoadOrder>>(const ProcessReach& reach)>;
  /// The workers are there and do nothing yet; in shadow mode none is made. `ground` must outlive it. Errors: as `find`
  /// and LoadProcess::start.
  static Result<std::unique_ptr<LoadWorkers>> create(const LoadGround& ground, const ProcessReach& reach, Find find,
                                                     bool shadow);

  void ends_at(std::chrono::nanoseconds boottime) override { until_ = boottime; }
  Status apply() override;
  void withdraw() override { (void)finish(); }
  Status finish() override;
  Status follow(const ProcessReach& reach) override;
  void check() override;
  [[nodiscard]] std::vector<std::string> remarks() const override { return remarks_; }
  [[nodiscard]] std::map<std::string, std::string> figures() const override { return figures_; }
  [[nodiscard]] std::string failure() const override { return failure_; }

 private:
  struct Worker {
    std::unique_ptr<LoadProcess> process;
    bool inside = false;            ///< in a cgroup of the target's: what ends that ends it as well
    std::optional<ProcessId> main;  ///< the target's, when it was started
    std::optional<std::chrono::steady_clock::time_point> gone_since;
  };
  LoadWorkers(const LoadGround& ground, Find find) : ground_(ground), find_(std::move(find)) {}
  Status add(const LoadOrder& order, const ProcessReach& reach);

  const LoadGround& ground_;
  const Find find_;
  std::chrono::nanoseconds until_{0};  ///< CLOCK_BOOTTIME
  bool applied_ = false;
  std::map<std::string, Worker> workers_;  ///< by LoadOrder::key
  std::vector<std::string> remarks_;
  std::map<std::string, std::string> figures_;
  std::string failure_;
};

/// One use of resource_exhaustion that is made of load workers.
struct LoadMeans {
  /// As KindSpec::refine.
  Status (*refine)(Plan& plan);
  /// Of a plan that has been refined.
  Result<LoadWorkers::Find> (*orders)(const Plan& plan);
};

/// Which cgroup below `directory` (of the v2 tree) can take processes: itself, or, where its controllers are handed on
/// to those below it, the one that the target's main process is in (cgroup-v2.rst, "No Internal Process Constraint").
[[nodiscard]] std::filesystem::path place_for_worker(const std::filesystem::path& directory, const ProcessReach& reach);

}  // namespace chaos
