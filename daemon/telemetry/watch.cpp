#include "telemetry/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/contains.h"
#include "kernel/processes.h"
#include "plan/socket_owners.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 4> kKeys{"service", "unit", "cgroup", "container"};

Result<std::string> only_key(WatchKind kind, const TargetKeys& keys) {
  const auto unknown = std::ranges::find_if(keys, [&](const auto& entry) {
    return !contains(kKeys, entry.first) && (kind != WatchKind::kSyscalls || entry.first != "pid");
  });
  if (unknown != keys.end()) {
    return fail(Errc::kInvalid, fmt::format("'{}' is no target of telemetry", unknown->first),
                "target." + unknown->first,
                kind == WatchKind::kSyscalls ? "one of service, unit, cgroup, container, pid"
                                             : "one of service, unit, cgroup, container; none: the whole host");
  }
  if (keys.size() == 1) return keys.begin()->first;
  return fail(Errc::kInvalid, "more than one target", "target", "one of service, unit, cgroup, container",
              "ask for each by itself");
}

/// One process for each network namespace that `members` live in.
std::vector<pid_t> one_of_each_netns(const std::vector<pid_t>& members, const std::vector<Process>& processes) {
  std::set<std::uint64_t> seen;
  std::vector<pid_t> chosen;
  for (const Process& process : processes) {
    if (!std::ranges::binary_search(members, process.pid)) continue;
    if (process.netns && seen.insert(*process.netns).second) chosen.push_back(process.pid);
  }
  return chosen;
}

}  // namespace

std::string_view to_string(WatchKind kind) {
  if (kind == WatchKind::kSyscalls) return "syscalls";
  return kind == WatchKind::kDrops ? "drops" : "tcp";
}

Result<WatchTarget> find_watch_target(WatchKind kind, const TargetKeys& keys, const ServiceConfigs& services) {
  if (keys.empty() && kind == WatchKind::kSyscalls) {
    return fail(Errc::kInvalid, "target is missing", "query.target", "one of service, unit, cgroup, container, pid",
                "system calls are watched of one target only");
  }
  if (keys.empty()) return WatchTarget{};
  const auto key = only_key(kind, keys);
  if (!key) return std::unexpected(key.error());
  const auto processes = list_user_processes();
  if (!processes) return std::unexpected(processes.error());
  auto owners = find_owners(keys, *key, services, *processes);
  if (!owners) return std::unexpected(owners.error());
  const bool by_process = owners->by != OwnedBy::kCgroup;
  if (by_process && kind != WatchKind::kSyscalls) {
    return fail(Errc::kUnsupported,
                fmt::format("{} has no cgroup of its own in the v2 tree, by which {} are told apart", owners->name,
                            kind == WatchKind::kTcp ? "sockets" : "packets"),
                "target." + *key, "a target with a cgroup v2",
                "ask for the cgroup that it lives in, or the whole host");
  }
  WatchTarget target;
  target.scope = *key + " " + keys.at(*key).front();
  if (by_process) {
    target.processes = owners->processes;
  } else {
    target.cgroups = std::move(owners->cgroups);
  }
  std::ranges::sort(owners->members);
  target.netns_members = one_of_each_netns(owners->members, *processes);
  target.by_name = owners->follow;
  return target;
}

Result<std::unique_ptr<Watch>> attach_watch(WatchKind kind, const ProbeIdentity& identity, const WatchTarget& target) {
  if (kind == WatchKind::kSyscalls) return attach_syscall_watch(identity, target);
  return kind == WatchKind::kDrops ? attach_drop_watch(identity, target) : attach_tcp_watch(identity, target);
}

}  // namespace chaos
