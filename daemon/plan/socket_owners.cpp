#include "plan/socket_owners.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/contains.h"
#include "base/units.h"
#include "plan/process_set.h"

namespace chaos {
namespace {

/// The value of a key that may be given once.
Result<std::string> single(const TargetKeys& target, const std::string& key) {
  const std::vector<std::string>& values = target.at(key);
  if (values.size() == 1) return values.front();
  return fail(Errc::kInvalid, fmt::format("more than one {}", key), "target." + key, "one for each scenario",
              "start one scenario for each");
}

/// The processes that a primary target of sockets names.
Result<ProcessSet> named_processes(const std::string& key, const std::string& name, const ServiceConfigs& services,
                                   const std::vector<Process>& processes) {
  if (key == "unit") return processes_of_unit(name, processes);
  if (key == "container") return processes_of_container(name, processes);
  const auto service = services.find(name);
  if (service != services.end()) {
    ProcessSet set = processes_of_service(service->second, processes);
    set.name = fmt::format("service {} ({})", name, set.name);
    return set;
  }
  std::vector<std::string> known;
  for (const auto& [known_name, config] : services) known.push_back(known_name);
  return fail(Errc::kNotFound, fmt::format("no service '{}' is configured", name), "target.service",
              "a name below services: in the configuration",
              known.empty() ? "none is configured" : fmt::format("configured are: {}", fmt::join(known, ", ")));
}

/// By path, whether or not something runs in it.
Result<SocketOwners> owners_by_cgroup(const CgroupTree& tree, const std::string& path,
                                      const std::vector<Process>& processes) {
  auto cgroup = tree.get(path);
  if (!cgroup) return std::unexpected(cgroup.error());
  SocketOwners owners;
  owners.name = "cgroup " + cgroup->path;
  owners.by_place = true;
  for (const Process& process : processes) {
    if (cgroup_contains(cgroup->path, process.cgroup2)) owners.members.push_back(process.pid);
  }
  owners.cgroups.push_back(std::move(*cgroup));
  return owners;
}

/// These processes and what they have forked.
Result<SocketOwners> owners_by_processes(const CgroupTree& tree, std::string name, std::vector<pid_t> pids,
                                         const std::vector<Process>& processes) {
  auto root = tree.root();
  if (!root) return std::unexpected(root.error());
  SocketOwners owners;
  owners.name = std::move(name);
  owners.by = OwnedBy::kProcess;
  owners.cgroups.push_back(std::move(*root));
  std::set<pid_t> members;
  for (const pid_t pid : pids) {
    for (const pid_t member : with_descendants(processes, pid)) members.insert(member);
  }
  owners.processes = std::move(pids);
  owners.members.assign(members.begin(), members.end());
  return owners;
}

Result<SocketOwners> owners_by_pid(const CgroupTree& tree, const std::string& text,
                                   const std::vector<Process>& processes) {
  const auto number = parse_unsigned(text);
  if (!number || *number == 0 || *number > INT32_MAX) {
    return fail(Errc::kInvalid, fmt::format("'{}' is no process id", text), "target.pid", "a number from 1",
                "see `ps`");
  }
  const auto process = std::ranges::find(processes, static_cast<pid_t>(*number), &Process::pid);
  if (process == processes.end()) {
    return fail(Errc::kNotFound, fmt::format("no user process {}", text), "target.pid", {}, "see `ps`");
  }
  auto owners =
      owners_by_processes(tree, fmt::format("process {} ({})", process->pid, process->comm), {process->pid}, processes);
  if (owners) owners->identity = start_ticks(process->pid);
  return owners;
}

Result<SocketOwners> owners_by_name(const CgroupTree& tree, const std::string& key, const std::string& name,
                                    const ServiceConfigs& services, const std::vector<Process>& processes) {
  auto set = named_processes(key, name, services, processes);
  if (!set) return std::unexpected(set.error());
  if (!set->problem.empty()) {
    return fail(Errc::kNotFound, fmt::format("{}: {}", set->name, set->problem), "target." + key, "something that runs",
                "start it first; `chaosctl services` shows what runs");
  }
  std::vector<pid_t> pids;
  for (const Process* process : set->processes) pids.push_back(process->pid);
  SocketOwners owners;
  for (const std::string& path : set->cgroups) {
    // One that has gone since the look at /proc is left out.
    if (auto cgroup = tree.get(path)) owners.cgroups.push_back(std::move(*cgroup));
  }
  if (set->cgroups.empty()) {
    // A pid file, a process name, or a place that v1 alone knows.
    auto by_process = owners_by_processes(tree, set->name, std::move(pids), processes);
    if (by_process) by_process->follow = true;
    if (by_process) by_process->by_place = set->by_place;
    if (by_process) by_process->unit = set->unit;
    return by_process;
  }
  if (owners.cgroups.empty()) {
    return fail(Errc::kNotFound, fmt::format("{}: its cgroup has just gone", set->name), "target." + key, {},
                "try again");
  }
  owners.name = set->name;
  owners.follow = true;
  owners.by_place = true;
  owners.unit = set->unit;
  owners.members = std::move(pids);
  return owners;
}

}  // namespace

Result<SocketOwners> find_owners(const TargetKeys& target, const std::string& key, const ServiceConfigs& services,
                                 const std::vector<Process>& processes) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  const auto name = single(target, key);
  if (!name) return std::unexpected(name.error());
  if (key == "pid") return owners_by_pid(*tree, *name, processes);
  return key == "cgroup" ? owners_by_cgroup(*tree, *name, processes)
                         : owners_by_name(*tree, key, *name, services, processes);
}

Result<SocketOwners> owners_by_comm(const std::vector<std::string>& comms, const std::string& where,
                                    const std::function<bool(const Process&)>& candidate,
                                    const std::vector<Process>& processes) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  std::vector<pid_t> pids;
  for (const Process& process : processes) {
    if (candidate(process) && contains(comms, process.comm)) pids.push_back(process.pid);
  }
  const std::string name = fmt::format("processes named {} of {}", fmt::join(comms, ", "), where);
  if (pids.empty()) {
    return fail(Errc::kNotFound, fmt::format("there are no {}", name), "target.comm", "something that runs",
                "names are those of `ps -o comm`, 15 characters at most");
  }
  auto owners = owners_by_processes(*tree, name, std::move(pids), processes);
  if (owners) owners->follow = true;
  return owners;
}

Result<SocketOwners> owners_by_user(const std::vector<uid_t>& uids, std::uint64_t netns,
                                    const std::vector<Process>& processes) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  auto root = tree->root();
  if (!root) return std::unexpected(root.error());
  SocketOwners owners;
  owners.name = fmt::format("user {} in network namespace {}", fmt::join(uids, ", "), netns);
  owners.by = OwnedBy::kUser;
  owners.netns = static_cast<std::uint32_t>(netns);
  owners.identity = netns;
  owners.cgroups.push_back(std::move(*root));
  for (const Process& process : processes) {
    if (process.netns == netns && contains(uids, process.uid)) owners.members.push_back(process.pid);
  }
  return owners;
}

}  // namespace chaos
