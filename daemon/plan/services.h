// Services: what `services:` of the configuration names, found on this host, and what the blast radius counts. Looks at
// /proc once; blocks (worker thread). The network namespaces of others need CAP_SYS_PTRACE.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"
#include "kernel/processes.h"
#include "plan/blast_radius.h"
#include "plan/process_set.h"

namespace chaos {

/// One configured service at this moment.
struct ServiceState {
  std::string name;
  std::string place;                   ///< "unit nginx.service": what the configuration says
  std::string cgroup;                  ///< where its first process is; empty if none runs
  std::vector<std::string> cgroups{};  ///< of the v2 tree, that are the service's alone (ProcessSet::cgroups)
  std::vector<pid_t> pids;             ///< ascending; empty: it does not run
  std::set<std::uint64_t> netns;       ///< inodes of the network namespaces that they live in
  std::vector<std::uint16_t> ports;
  double weight = 1.0;
  std::string problem;  ///< why nothing was found, and what to do; empty if it runs
};

using ServiceConfigs = std::map<std::string, Service>;

/// All configured services, by name. `processes` is list_user_processes() of now. Reads pid files.
[[nodiscard]] std::vector<ServiceState> resolve_services(const ServiceConfigs& configs,
                                                         const std::vector<Process>& processes,
                                                         const HostPaths& paths = {});

/// What the blast radius counts: the configured services or, with none configured, the units (else leaf cgroups) of
/// the host that have processes, each of weight 1.
[[nodiscard]] Population population_of(const std::vector<ServiceState>& services,
                                       const std::vector<Process>& processes);

/// Protected things that processes which are touched belong to: "unit sshd.service", "uid 0".
[[nodiscard]] std::vector<std::string> protected_among(const Protect& protect, const std::vector<Process>& processes,
                                                       const std::function<bool(const Process&)>& touched);

}  // namespace chaos
