#include "plan/process_set.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/contains.h"
#include "base/units.h"
#include "kernel/proc_tree.h"
#include "kernel/systemd.h"
#include "plan/container_names.h"

namespace chaos {
namespace {

bool is_container_id(std::string_view text) {
  constexpr std::size_t kShortest = 12;  // as container tools print it
  return text.size() >= kShortest && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

/// Docker, Podman, containerd and CRI-O name a container's cgroup by its id, bare ("docker/ID") or within a unit
/// ("docker-ID.scope", "libpod-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope"). "libpod-conmon-ID.scope" and
/// "crio-conmon-ID.scope" hold the monitor of the container, which is not in it.
bool is_cgroup_of_container(std::string_view component, std::string_view id) {
  if (component.contains("conmon-")) return false;
  for (std::size_t at = component.find(id); at != std::string_view::npos; at = component.find(id, at + 1)) {
    if (at == 0 || component[at - 1] == '-') return true;
  }
  return false;
}

/// The part of `path` up to and with the first component that `matches`; empty if none does. Looks no deeper than the
/// first component that is not `passable`.
template <class Matches, class Passable>
std::string_view up_to_component(std::string_view path, const Matches& matches, const Passable& passable) {
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view component = path.substr(at + 1, end - at - 1);
    if (matches(component)) return path.substr(0, end);
    if (!passable(component)) break;
    at = end;
  }
  return {};
}

bool any_component(std::string_view /*component*/) { return true; }
bool is_slice(std::string_view component) { return component.ends_with(".slice"); }

/// All processes whose path in the cgroup tree has a component that `matches`.
template <class Matches, class Passable>
ProcessSet by_component(std::string name, const std::vector<Process>& all, const Matches& matches,
                        const Passable& passable) {
  ProcessSet set{.name = std::move(name), .processes = {}, .cgroups = {}, .by_place = true, .problem = {}};
  std::set<std::string> cgroups;
  for (const Process& process : all) {
    if (up_to_component(process.cgroup, matches, passable).empty()) continue;
    set.processes.push_back(&process);
    const auto place = up_to_component(process.cgroup2, matches, passable);
    if (!place.empty()) cgroups.emplace(place);
  }
  set.cgroups.assign(cgroups.begin(), cgroups.end());
  if (set.processes.empty()) set.problem = "no process of " + set.name + " runs";
  return set;
}

template <class Matches>
ProcessSet by_process(std::string name, const std::vector<Process>& all, const Matches& matches) {
  ProcessSet set{.name = std::move(name), .processes = {}, .cgroups = {}, .problem = {}};
  for (const Process& process : all) {
    if (matches(process)) set.processes.push_back(&process);
  }
  if (set.processes.empty()) set.problem = "no process of " + set.name + " runs";
  return set;
}

ProcessSet by_container_id(std::string name, const std::string& id, const std::vector<Process>& all) {
  return by_component(
      std::move(name), all, [&](std::string_view part) { return is_cgroup_of_container(part, id); }, any_component);
}

/// The pid that the file holds, if that process is older than the file: a newer one has the pid by chance.
Result<pid_t> read_pid_file(const std::string& file, const HostPaths& paths) {
  auto text = proc::read_file(file);
  if (!text) return std::unexpected(text.error());
  std::string_view line = *text;
  line = line.substr(0, line.find_first_of(" \t\r\n"));
  const auto number = parse_unsigned(line);
  struct stat st {};
  if (!number || *number == 0 || *number > INT32_MAX || stat(file.c_str(), &st) != 0) {
    return fail(Errc::kInvalid, fmt::format("{} holds no pid", file));
  }
  const auto pid = static_cast<pid_t>(*number);
  const auto started = start_time(pid, paths.proc);
  if (!started) return fail(Errc::kNotFound, fmt::format("process {} of {} is gone", pid, file));
  const WallTime written(std::chrono::milliseconds(st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1'000'000));
  // Both clocks are coarse, and btime is rounded.
  if (*started > written + std::chrono::seconds(2)) {
    return fail(Errc::kNotFound, fmt::format("{} is older than process {}: the pid is another's now", file, pid));
  }
  return pid;
}

ProcessSet by_pid_file(const std::string& file, const std::vector<Process>& all, const HostPaths& paths) {
  const std::string name = "pid file " + file;
  const auto pid = read_pid_file(file, paths);
  if (!pid) return {.name = name, .processes = {}, .cgroups = {}, .problem = pid.error().message};
  const std::vector<pid_t> pids = with_descendants(all, *pid);
  return by_process(name, all, [&](const Process& p) { return std::ranges::binary_search(pids, p.pid); });
}

}  // namespace

bool has_component(std::string_view path, std::string_view component) {
  return !up_to_component(
              path, [&](std::string_view part) { return part == component; }, any_component)
              .empty();
}

ProcessSet processes_of_unit(const std::string& unit, const std::vector<Process>& all) {
  // systemd puts a unit below slices only. The same name below anything else is the unit of another manager, of a
  // container's or of a user's.
  const auto named = [&](const std::string& name) {
    ProcessSet set = by_component(
        "unit " + name, all, [&](std::string_view part) { return part == name; }, is_slice);
    set.unit = name;
    return set;
  };
  ProcessSet set = named(unit);
  if (!set.processes.empty()) return set;
  if (const auto id = systemd_unit_id(unit); id && *id != unit) return named(*id);
  return set;
}

ProcessSet processes_of_cgroup(const std::string& cgroup, const std::vector<Process>& all) {
  ProcessSet set =
      by_process("cgroup " + cgroup, all, [&](const Process& p) { return cgroup_contains(cgroup, p.cgroup); });
  const bool in_v2 =
      std::ranges::any_of(set.processes, [&](const Process* p) { return cgroup_contains(cgroup, p->cgroup2); });
  if (in_v2) set.cgroups = {cgroup};
  set.by_place = true;
  return set;
}

ProcessSet processes_of_container(const std::string& container, const std::vector<Process>& all,
                                  const HostPaths& paths) {
  if (is_container_id(container)) {
    ProcessSet set = by_container_id("container " + container, container, all);
    if (!set.processes.empty()) return set;
  }
  ProcessSet found{.name = "container " + container, .processes = {}, .cgroups = {}, .problem = {}};
  const std::set<std::string> ids = containers_named(container, paths.var_lib);
  for (const std::string& id : ids) {
    // What is short or no number would match cgroups of others.
    if (!is_container_id(id)) continue;
    ProcessSet set = by_container_id(fmt::format("container {} ({:.12})", container, id), id, all);
    if (set.processes.empty()) continue;
    if (!found.processes.empty()) {
      return {.name = "container " + container,
              .processes = {},
              .cgroups = {},
              .problem = "more than one running container has this name: give 12 hexadecimal digits of the id"};
    }
    found = std::move(set);
  }
  if (!found.processes.empty()) return found;
  found.problem = ids.empty() ? "no container of Docker, Podman or CRI-O has this name or id; others are found by 12 "
                                "hexadecimal digits of their id or more"
                              : "no process of it runs";
  return found;
}

ProcessSet processes_of_service(const Service& service, const std::vector<Process>& all, const HostPaths& paths) {
  if (!service.unit.empty()) return processes_of_unit(service.unit, all);
  if (!service.cgroup.empty()) return processes_of_cgroup(service.cgroup, all);
  if (!service.container.empty()) return processes_of_container(service.container, all, paths);
  if (!service.pid_file.empty()) return by_pid_file(service.pid_file, all, paths);
  const bool by_path = service.process.starts_with('/');
  return by_process("process " + service.process, all,
                    [&](const Process& p) { return (by_path ? p.executable : p.comm) == service.process; });
}

}  // namespace chaos
