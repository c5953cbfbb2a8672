#include "plan/services.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <optional>

#include "base/contains.h"
#include "base/units.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

using Matches = std::function<bool(const Process&)>;

/// "/system.slice/x.service/sub" has the component "x.service".
bool has_component(std::string_view path, std::string_view component) {
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) == component) return true;
    path.remove_prefix(end);
  }
  return false;
}

bool is_container_id(std::string_view text) {
  constexpr std::size_t kShortest = 12;  // as container tools print it
  return text.size() >= kShortest && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

/// Docker, Podman, containerd and CRI-O name a container's cgroup by its id, bare ("docker/ID") or within a unit
/// ("docker-ID.scope", "libpod-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope").
bool is_cgroup_of_container(std::string_view path, std::string_view id) {
  for (std::size_t at = path.find(id); at != std::string_view::npos; at = path.find(id, at + 1)) {
    if (at > 0 && (path[at - 1] == '/' || path[at - 1] == '-')) return true;
  }
  return false;
}

void take(ServiceState& state, const std::vector<Process>& processes, const Matches& matches) {
  for (const Process& process : processes) {
    if (!matches(process)) continue;
    if (state.pids.empty()) state.cgroup = process.cgroup;
    state.pids.push_back(process.pid);
    if (process.netns) state.netns.insert(*process.netns);
  }
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

void take_pid_file(ServiceState& state, const std::string& file, const std::vector<Process>& processes,
                   const HostPaths& paths) {
  const auto pid = read_pid_file(file, paths);
  if (!pid) {
    state.problem = pid.error().message;
    return;
  }
  const std::vector<pid_t> pids = with_descendants(processes, *pid);
  take(state, processes, [&](const Process& process) { return std::ranges::binary_search(pids, process.pid); });
}

ServiceState resolve(const std::string& name, const Service& service, const std::vector<Process>& processes,
                     const HostPaths& paths) {
  ServiceState state;
  state.name = name;
  state.weight = service.weight;
  state.ports = service.ports;
  if (!service.unit.empty()) {
    state.place = "unit " + service.unit;
    take(state, processes, [&](const Process& p) { return has_component(p.cgroup, service.unit); });
  } else if (!service.cgroup.empty()) {
    state.place = "cgroup " + service.cgroup;
    take(state, processes, [&](const Process& p) { return cgroup_contains(service.cgroup, p.cgroup); });
  } else if (!service.container.empty()) {
    state.place = "container " + service.container;
    if (is_container_id(service.container)) {
      take(state, processes, [&](const Process& p) { return is_cgroup_of_container(p.cgroup, service.container); });
    } else {
      state.problem = "containers are found by id only in this version: give 12 hexadecimal digits of it or more";
    }
  } else if (!service.pid_file.empty()) {
    state.place = "pid file " + service.pid_file;
    take_pid_file(state, service.pid_file, processes, paths);
  } else {
    state.place = "process " + service.process;
    const bool by_path = service.process.starts_with('/');
    take(state, processes, [&](const Process& p) { return (by_path ? p.executable : p.comm) == service.process; });
  }
  if (state.pids.empty() && state.problem.empty()) state.problem = "no process of " + state.place + " runs";
  return state;
}

/// The unit of a cgroup: its deepest component that names one; else the cgroup itself.
std::string unit_of(const std::string& cgroup) {
  std::string_view rest = cgroup;
  while (!rest.empty()) {
    const std::size_t slash = rest.rfind('/');
    const std::string_view component = slash == std::string_view::npos ? rest : rest.substr(slash + 1);
    if (component.ends_with(".service") || component.ends_with(".scope")) return std::string(component);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(0, slash);
  }
  return cgroup;
}

}  // namespace

std::vector<ServiceState> resolve_services(const ServiceConfigs& configs, const std::vector<Process>& processes,
                                           const HostPaths& paths) {
  std::vector<ServiceState> states;
  for (const auto& [name, service] : configs) states.push_back(resolve(name, service, processes, paths));
  return states;
}

Population population_of(const std::vector<ServiceState>& services, const std::vector<Process>& processes) {
  Population population;
  if (!services.empty()) {
    population.of = "configured services";
    for (const ServiceState& service : services) {
      population.members.push_back({"service " + service.name, service.weight, service.netns});
    }
    return population;
  }
  population.of = "units of this host (no services are configured)";
  std::map<std::string, Member> units;
  for (const Process& process : processes) {
    const std::string name = unit_of(process.cgroup);
    Member& member = units[name];
    member.name = (name.starts_with('/') ? "cgroup " : "unit ") + name;
    if (process.netns) member.netns.insert(*process.netns);
  }
  for (auto& [name, member] : units) population.members.push_back(std::move(member));
  return population;
}

std::vector<std::string> protected_in(const Protect& protect, const std::vector<Process>& processes,
                                      const std::set<std::uint64_t>& namespaces) {
  std::set<std::string> found;
  for (const Process& process : processes) {
    if (!process.netns || !namespaces.contains(*process.netns)) continue;
    for (const std::string& unit : protect.units) {
      if (has_component(process.cgroup, unit)) found.insert("unit " + unit);
    }
    for (const std::string& cgroup : protect.cgroups) {
      if (cgroup_contains(cgroup, process.cgroup)) found.insert("cgroup " + cgroup);
    }
    if (contains(protect.uids, process.uid)) found.insert(fmt::format("uid {}", process.uid));
  }
  return {found.begin(), found.end()};
}

}  // namespace chaos
