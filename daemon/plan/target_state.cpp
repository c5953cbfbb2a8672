#include "plan/target_state.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "base/contains.h"
#include "base/units.h"
#include "kernel/cgroup.h"
#include "kernel/netns.h"
#include "plan/socket_owners.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostSockets = 10'000;  // descriptors that are looked at, of a target
constexpr std::size_t kMostCgroups = 1000;

/// The id of a cgroup is its directory's inode.
void add_cgroups(const CgroupTree& tree, const std::string& path, std::set<std::uint64_t>& ids) {
  const fs::path directory = tree.mount_point() / path.substr(std::min<std::size_t>(1, path.size()));
  const auto add = [&ids](const fs::path& place) {
    struct stat found {};
    if (::stat(place.c_str(), &found) == 0) ids.insert(found.st_ino);
  };
  add(directory);
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end && ids.size() < kMostCgroups;
       it.increment(error)) {
    if (it->is_directory(error)) add(it->path());
  }
}

/// "socket:[1234]" in /proc/PID/fd.
void add_sockets(pid_t pid, std::size_t& looked_at, std::set<std::uint64_t>& inodes) {
  constexpr std::string_view kSocket = "socket:[";
  std::error_code error;
  for (fs::directory_iterator it("/proc/" + std::to_string(pid) + "/fd", error), end;
       !error && it != end && looked_at < kMostSockets; it.increment(error)) {
    ++looked_at;
    std::error_code gone;
    const std::string to = fs::read_symlink(it->path(), gone).string();
    if (gone || !to.starts_with(kSocket)) continue;
    const auto inode = parse_unsigned(std::string_view(to).substr(kSocket.size(), to.size() - kSocket.size() - 1));
    if (inode) inodes.insert(*inode);
  }
}

void find_owned(const SocketOwners& owners, const std::vector<Process>& processes, TargetState& state) {
  state.pids = owners.members;
  std::ranges::sort(state.pids);
  const auto tree = CgroupTree::find();
  for (const Cgroup& cgroup : owners.cgroups) {
    if (owners.by != OwnedBy::kCgroup || !tree) continue;
    state.cgroups.push_back(cgroup.path);
    add_cgroups(*tree, cgroup.path, state.cgroup_ids);
  }
  std::size_t looked_at = 0;
  for (const Process& process : processes) {
    if (!std::ranges::binary_search(state.pids, process.pid)) continue;
    if (process.netns) state.networks.emplace(*process.netns, std::to_string(process.pid));
    if (owners.by != OwnedBy::kCgroup) add_sockets(process.pid, looked_at, state.socket_inodes);
  }
}

}  // namespace

TargetState target_state(const std::string& id, const ScenarioRequest& request, const ServiceConfigs& services,
                         const std::vector<Process>& processes) {
  TargetState state;
  state.id = id;
  state.kind = request.kind;
  constexpr std::array<std::string_view, 5> kOwners{"service", "unit", "cgroup", "container", "pid"};
  for (const std::string_view key : kOwners) {
    if (!request.target.contains(std::string(key))) continue;
    if (const auto owners = find_owners(request.target, std::string(key), services, processes)) {
      find_owned(*owners, processes, state);
    }
    return state;
  }
  const auto name = request.target.find("netns");
  if (name == request.target.end() || name->second.empty()) return state;
  const auto netns = Netns::open(name->second.front());
  if (!netns) return state;
  state.networks.emplace(netns->inode(), name->second.front());
  state.all_sockets = true;
  for (const Process& process : processes) {
    if (process.netns == netns->inode()) state.pids.push_back(process.pid);
  }
  return state;
}

}  // namespace chaos
