#include "plan/answers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "kernel/proc_tree.h"

namespace chaos {
namespace {

constexpr const char* kPortKey = "local-port";

std::set<std::uint16_t> listening_ports(const std::vector<pid_t>& members) {
  std::set<std::uint16_t> ports;
  for (const pid_t pid : members) {
    const auto sockets = proc::socket_inodes("/proc", pid);
    if (!sockets || sockets->empty()) continue;
    // Those that end meanwhile, or may not be looked at, have none.
    const auto rows = proc::tcp_rows("/proc", pid, proc::TcpState::kListen, *sockets);
    if (!rows) continue;
    for (const proc::TcpRow& row : *rows) ports.insert(row.local_port);
  }
  return ports;
}

}  // namespace

void mean_answers(const KindSpec& kind, const TargetKeys& target, NetFilter& filter) {
  if (kind.targets.answers && !target.contains("direction")) filter.direction = Direction::kEgress;
}

Status find_answering_ports(const KindSpec& kind, const TargetKeys& target, const ServiceConfigs& services,
                            Plan& plan) {
  if (!kind.targets.answers || target.contains(kPortKey) || !plan.reach.owners) return {};
  std::set<std::uint16_t> ports = listening_ports(plan.reach.owners->members);
  if (const auto named = target.find("service"); named != target.end()) {
    const auto service = services.find(named->second.front());
    if (service != services.end()) ports.insert(service->second.ports.begin(), service->second.ports.end());
  }
  if (ports.empty()) {
    return fail(Errc::kNotFound, fmt::format("{} listens on no TCP port", plan.reach.owners->name), "target.local-port",
                "ports that the target answers on", "give them: target local-port=");
  }
  plan.filter.local_ports.assign(ports.begin(), ports.end());
  plan.reach.notes.push_back(fmt::format("its ports: {}", fmt::join(ports, ", ")));
  return {};
}

}  // namespace chaos
