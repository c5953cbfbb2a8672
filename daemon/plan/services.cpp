#include "plan/services.h"

#include <fmt/format.h>

#include "base/contains.h"
#include "kernel/systemd.h"

namespace chaos {
namespace {

ServiceState resolve(const std::string& name, const Service& service, const std::vector<Process>& processes,
                     const HostPaths& paths) {
  const ProcessSet set = processes_of_service(service, processes, paths);
  ServiceState state;
  state.name = name;
  state.place = set.name;
  state.weight = service.weight;
  state.ports = service.ports;
  state.problem = set.problem;
  state.cgroups = set.cgroups;
  if (!set.processes.empty()) state.cgroup = set.processes.front()->cgroup;
  for (const Process* process : set.processes) {
    state.pids.push_back(process->pid);
    if (process->netns) state.netns.insert(*process->netns);
  }
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
      population.members.push_back(
          {"service " + service.name, service.weight, service.netns, {service.pids.begin(), service.pids.end()}});
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
    member.pids.insert(process.pid);
  }
  for (auto& [name, member] : units) population.members.push_back(std::move(member));
  return population;
}

namespace {

/// Protected units by the names that their cgroups carry: one that is configured by an alias is protected as well.
/// Asked for each of them: that some cgroup has the name, a container's perhaps, does not make it the unit's.
std::vector<std::string> names_of_units(const std::vector<std::string>& units) {
  std::vector<std::string> names = units;
  for (const std::string& unit : units) {
    if (auto id = systemd_unit_id(unit); id && *id != unit) names.push_back(std::move(*id));
  }
  return names;
}

}  // namespace

std::vector<std::string> protected_among(const Protect& protect, const std::vector<Process>& processes,
                                         const std::function<bool(const Process&)>& touched) {
  std::set<std::string> found;
  const std::vector<std::string> units = names_of_units(protect.units);
  for (const Process& process : processes) {
    if (!touched(process)) continue;
    for (const std::string& unit : units) {
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
