// ProcessSet: which processes of this host a name stands for: a unit, a cgroup, a container, a pid file or a process
// name. What services of the configuration and targets are resolved by. Looks at a list of processes and at pid files;
// any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "kernel/processes.h"

namespace chaos {

/// Where the configured places are looked for; other roots in tests.
struct HostPaths {
  std::filesystem::path proc = "/proc";
  std::filesystem::path var_lib = "/var/lib";
};

struct ProcessSet {
  std::string name;                       ///< "unit nginx.service"
  std::vector<const Process*> processes;  ///< in the list that was given; by pid
  /// The cgroups of the v2 tree that the name means, each once; empty if it means none (a pid file, a process name) or
  /// lives in v1 only. All their processes are in the set.
  std::vector<std::string> cgroups;
  std::string unit{};     ///< if it is a unit of systemd's: the name that it goes by
  bool by_place = false;  ///< it is a unit, a cgroup or a container: whatever runs there
  std::string problem;    ///< why there are no processes, and what to do; empty if there are
};

/// A unit of this host's systemd, by its name or an alias (asked of systemd where nothing carries the name: worker
/// thread then). Units of users and of containers are not meant: their cgroups are.
[[nodiscard]] ProcessSet processes_of_unit(const std::string& unit, const std::vector<Process>& all);
[[nodiscard]] ProcessSet processes_of_cgroup(const std::string& cgroup, const std::vector<Process>& all);
/// By 12 or more digits of its id, or by its name (containers_named). A name that more than one running container has
/// is a problem.
[[nodiscard]] ProcessSet processes_of_container(const std::string& container, const std::vector<Process>& all,
                                                const HostPaths& paths = {});
/// Of the place that `service` names. Reads its pid file.
[[nodiscard]] ProcessSet processes_of_service(const Service& service, const std::vector<Process>& all,
                                              const HostPaths& paths = {});

/// "/system.slice/x.service/sub" has the component "x.service".
[[nodiscard]] bool has_component(std::string_view path, std::string_view component);

}  // namespace chaos
