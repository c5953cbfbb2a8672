#include "plan/process_reach.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "base/contains.h"
#include "base/instance.h"
#include "kernel/proc_tree.h"
#include "kernel/systemd.h"

namespace chaos {
namespace {

/// Why no scenario may touch it; empty: none.
std::string_view essential(const Process& process, const std::vector<pid_t>& own) {
  if (process.pid == 1) return "init";
  if (std::ranges::binary_search(own, process.pid)) return "chaosd itself";
  // As for traffic: whoever works on this host must be able to go on.
  if (process.comm.starts_with("sshd") || process.executable.ends_with("/sshd")) return "sshd";
  return {};
}

}  // namespace

Result<ProcessReach> process_reach(const SocketOwners& owners, const std::vector<Process>& processes) {
  ProcessReach reach;
  if (owners.by == OwnedBy::kCgroup) reach.cgroups = owners.cgroups;
  reach.by_place = owners.by_place;
  reach.unit = owners.unit;
  const std::vector<pid_t> own = with_descendants(processes, ::getpid());
  const Process* main = nullptr;
  for (const Process& process : processes) {
    if (!std::ranges::binary_search(owners.members, process.pid)) continue;
    // A load that is put where the target is does not belong to it.
    if (process.comm == kLoadWorkerComm && std::ranges::binary_search(own, process.pid)) continue;
    if (const std::string_view why = essential(process, own); !why.empty()) {
      return fail(Errc::kRefused, fmt::format("{} has process {}, which is {}", owners.name, process.pid, why),
                  "target", "init, chaosd and sshd are never touched", "aim at something that they do not belong to");
    }
    reach.members.push_back(process.id());
    if (std::ranges::binary_search(owners.members, process.parent)) continue;
    if (main == nullptr || process.start_ticks < main->start_ticks) main = &process;
  }
  if (main != nullptr) reach.eldest = main->id();
  return reach;
}

std::optional<ProcessId> main_process(const ProcessReach& reach) {
  const auto known = reach.unit.empty() ? std::nullopt : systemd_main_pid(reach.unit);
  if (!known) return reach.eldest;
  const auto started = *known > 0 ? start_ticks(*known) : std::nullopt;
  if (!started) return std::nullopt;
  const ProcessId id{*known, *started};
  if (contains(reach.members, id)) return id;
  // It has come since. Who has the number by now and lives elsewhere is not it.
  const std::string place = cgroup2_of(proc::read_record("/proc/" + std::to_string(id.pid) + "/cgroup").value_or(""));
  const bool there =
      std::ranges::any_of(reach.cgroups, [&](const Cgroup& cgroup) { return cgroup_contains(cgroup.path, place); });
  return there ? std::optional(id) : std::nullopt;
}

}  // namespace chaos
