#include "kernel/controlled_cgroups.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <set>

#include "base/contains.h"
#include "base/instance.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

/// "cpu,cpuacct" has "cpu".
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == word) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

/// Where the v1 hierarchy of the controller is mounted.
std::optional<fs::path> v1_mount(std::string_view controller, const fs::path& mounts) {
  std::ifstream file(mounts);
  std::string device;
  std::string point;
  std::string type;
  std::string options;
  while (file >> device >> point >> type >> options) {
    if (type == "cgroup" && has_word(options, controller)) return point;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

/// The path in the hierarchy of the controller, of a line "4:cpu,cpuacct:/a/b" of /proc/PID/cgroup; empty if it is
/// gone.
std::string path_in(std::string_view controller, pid_t pid, const fs::path& proc) {
  const std::string text = proc::read_record(proc / std::to_string(pid) / "cgroup").value_or("");
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t newline = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, newline);
    rest.remove_prefix(std::min(newline + 1, rest.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    if (has_word(line.substr(first + 1, second - first - 1), controller)) return std::string(line.substr(second + 1));
  }
  return {};
}

/// A member, a load of chaosd's own, forked by one since the members were looked for, or at its end.
bool belongs(pid_t pid, const std::vector<ProcessId>& members, const fs::path& proc) {
  constexpr int kMaxAncestors = 64;
  for (int depth = 0; pid > 1 && depth < kMaxAncestors; ++depth) {
    if (contains(members, pid, &ProcessId::pid)) return true;
    const auto stat = proc::process_stat(proc, pid);
    if (!stat || stat->exiting || stat->state == 'Z' || stat->state == 'X') return true;
    if (stat->comm == kLoadWorkerComm && stat->parent == ::getpid()) return true;
    pid = stat->parent;
  }
  return false;
}

/// A process in the cgroup or below it that is not of the members.
std::optional<pid_t> stranger_in(const fs::path& directory, const std::vector<ProcessId>& members,
                                 const fs::path& proc) {
  std::ifstream procs(directory / "cgroup.procs");
  for (pid_t pid = 0; procs >> pid;) {
    if (!belongs(pid, members, proc)) return pid;
  }
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_directory(ignored) || entry->is_symlink(ignored)) continue;
    if (const auto stranger = stranger_in(entry->path(), members, proc)) return stranger;
  }
  return std::nullopt;
}

Result<ControlledCgroups> in_v1(const Controller& controller, const fs::path& mount,
                                const std::vector<ProcessId>& members, const ControllerSources& sources) {
  std::set<std::string> paths;
  for (const ProcessId& member : members) {
    std::string path = path_in(controller.name, member.pid, sources.proc);
    // Who is about to end has left: in v1 it reads "/" from then on (proc_cgroup_show in kernel/cgroup/cgroup.c).
    const auto stat = proc::process_stat(sources.proc, member.pid);
    if (!path.empty() && stat && !stat->exiting) paths.insert(std::move(path));
  }
  ControlledCgroups found;
  for (const std::string& path : paths) {
    const fs::path directory = mount / path.substr(1);
    if (path == "/") {
      return fail(
          Errc::kUnsupported,
          fmt::format("the target has no cgroup of its own in the v1 hierarchy of the {} controller", controller.name),
          "target", "a target whose processes alone are in a cgroup", "give it one, or use cgroup v2");
    }
    if (const auto stranger = stranger_in(directory, members, sources.proc)) {
      return fail(Errc::kRefused,
                  fmt::format("process {} is in {} as well, and not of the target", *stranger, directory.string()),
                  "target", "a target whose processes alone are in a cgroup", "aim at all that is in it");
    }
    // What is below another of these is limited with it.
    const bool below = std::ranges::any_of(
        paths, [&](const std::string& other) { return other != path && path.starts_with(other + "/"); });
    if (!below) found.directories.push_back(directory);
  }
  if (found.directories.empty()) {
    return fail(Errc::kNotFound,
                fmt::format("no process of the target is in the v1 hierarchy of the {} controller", controller.name),
                "target", {}, "start it first");
  }
  return found;
}

}  // namespace

Result<ControlledCgroups> controlled_cgroups(const Controller& controller, const std::vector<Cgroup>& cgroups,
                                             const std::vector<ProcessId>& members, const ControllerSources& sources) {
  const auto tree = CgroupTree::find(sources.mounts);
  ControlledCgroups found{.v2 = true, .directories = {}};
  for (const Cgroup& cgroup : cgroups) {
    if (!tree) break;
    const fs::path directory = tree->mount_point() / cgroup.path.substr(1);
    std::error_code ignored;
    if (tree->open(cgroup) && fs::exists(directory / controller.v2_file, ignored))
      found.directories.push_back(directory);
  }
  if (!found.directories.empty() && found.directories.size() == cgroups.size()) return found;
  if (const auto mount = v1_mount(controller.name, sources.mounts)) return in_v1(controller, *mount, members, sources);
  if (cgroups.empty()) {
    return fail(Errc::kUnsupported, "single processes cannot be limited: a limit is a cgroup's", "target",
                "a target that is a cgroup", "aim at their service, unit, cgroup or container");
  }
  return fail(Errc::kUnsupported,
              fmt::format("cgroup {} has no {}: the {} controller is not enabled for it", cgroups.front().path,
                          controller.v2_file, controller.name),
              "target", "a cgroup with the controller", "see cgroup.subtree_control of the cgroup above it");
}

}  // namespace chaos
