#include "plan/process_reach.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "base/instance.h"

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
  if (main != nullptr) {
    reach.main = main->id();
    reach.main_name = fmt::format("process {} ({})", main->pid, main->comm);
  }
  return reach;
}

}  // namespace chaos
