#include "fault/load_workers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/contains.h"
#include "kernel/cgroup.h"
#include "kernel/proc_tree.h"
#include "kernel/processes.h"

namespace chaos {
namespace {

/// A target that is started anew takes the worker in its cgroup with it: so long it may take until it is found again.
constexpr std::chrono::seconds kFoundAgainWithin{10};

}  // namespace

Result<std::unique_ptr<LoadWorkers>> LoadWorkers::create(const LoadGround& ground, const ProcessReach& reach, Find find,
                                                         bool shadow) {
  std::unique_ptr<LoadWorkers> made(new LoadWorkers(ground, std::move(find)));
  const auto orders = made->find_(reach);
  if (!orders) return std::unexpected(orders.error());
  if (shadow) return made;
  for (const LoadOrder& order : *orders) {
    if (Status status = made->add(order, reach); !status) return std::unexpected(status.error());
  }
  return made;
}

Status LoadWorkers::add(const LoadOrder& order, const ProcessReach& reach) {
  auto process = LoadProcess::start(ground_, order);
  if (!process) return std::unexpected(process.error());
  if (applied_) {
    if (Status status = (*process)->go(until_); !status) return status;
  }
  workers_[order.key] = {
      .process = std::move(*process), .inside = !order.cgroups.empty(), .main = reach.eldest, .gone_since = {}};
  return {};
}

Status LoadWorkers::apply() {
  applied_ = true;
  for (auto& [key, worker] : workers_) {
    Status status = worker.process->go(until_);
    if (status) continue;
    (void)finish();
    return status;
  }
  return {};
}

Status LoadWorkers::finish() {
  applied_ = false;
  Status last;
  for (auto& [key, worker] : workers_) {
    if (Status status = worker.process->end(); !status) last = std::move(status);
  }
  if (last) workers_.clear();
  return last;
}

Status LoadWorkers::follow(const ProcessReach& reach) {
  if (!applied_ || !failure_.empty()) return {};
  // Away for now: whoever was in its cgroup has gone with it.
  if (reach.members.empty()) return {};
  const auto orders = find_(reach);
  if (!orders) return std::unexpected(orders.error());
  std::set<std::string> wanted;
  for (const LoadOrder& order : *orders) {
    wanted.insert(order.key);
    const auto found = workers_.find(order.key);
    const bool alive = found != workers_.end() && found->second.process->poll();
    // One that has ended where the target goes on as before was ended by somebody: check() tells.
    if (alive || (found != workers_.end() && found->second.main == reach.eldest)) continue;
    if (Status status = add(order, reach); !status) return status;
  }
  std::erase_if(workers_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  return {};
}

void LoadWorkers::check() {
  const auto now = std::chrono::steady_clock::now();
  std::map<std::string, std::string> all;
  for (auto& [key, worker] : workers_) {
    const bool alive = worker.process->poll();
    for (const std::string& remark : worker.process->remarks()) {
      if (!contains(remarks_, remark)) remarks_.push_back(remark);
    }
    for (const auto& [name, value] : worker.process->figures()) {
      std::string& text = all[name];
      text += (text.empty() ? "" : ", ") + value;
    }
    if (alive || worker.process->mishap().empty()) continue;
    if (!worker.gone_since) worker.gone_since = now;
    if (worker.inside && now - *worker.gone_since < kFoundAgainWithin) continue;
    failure_ = "the load is gone: " + worker.process->mishap();
  }
  if (!all.empty()) figures_ = std::move(all);
}

std::filesystem::path place_for_worker(const std::filesystem::path& directory, const ProcessReach& reach) {
  const auto handed_on = proc::read_record(directory / "cgroup.subtree_control");
  if (!handed_on || handed_on->find_first_not_of(" \n") == std::string::npos || !reach.eldest) return directory;
  const auto tree = CgroupTree::find();
  const auto where = proc::read_record(std::filesystem::path("/proc") / std::to_string(reach.eldest->pid) / "cgroup");
  if (!tree || !where) return directory;
  const std::string path = cgroup2_of(*where);
  if (path.size() < 2) return directory;
  std::filesystem::path of_main = tree->mount_point() / path.substr(1);
  // It may have moved elsewhere meanwhile: that is not the target's.
  const auto [end, unused] = std::ranges::mismatch(directory, of_main);
  return end == directory.end() ? of_main : directory;
}

}  // namespace chaos
