// ProcessSockets: which sockets processes make (bpf/makers.bpf.c): those that they have when a fault begins are found
// and marked, those that they and their descendants make from then on are marked as they are made. Nothing is attached
// while no fault is narrowed to processes. Needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE. Worker thread, but the ids:
// any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"

namespace chaos {

class ProcessSockets {
 public:
  /// `maps` must outlive it. `tag`: instance_tag(). Loads nothing yet.
  ProcessSockets(const SharedMaps& maps, std::string_view tag);
  ~ProcessSockets();
  ProcessSockets(ProcessSockets&&) noexcept;

  /// Narrows `fault` to the sockets of these processes and of what they fork, beside those that it is narrowed to
  /// already. Processes that end meanwhile are left out. Errors: kUnsupported (a kernel or cgroup tree that does not
  /// serve), kRefused (the table is full), kDenied (their descriptors may not be looked at), kInternal; then it may be
  /// narrowed to some of them.
  Status track(unsigned fault, const std::vector<pid_t>& processes);
  /// No process any more. Call it once no packet is decided on for the fault.
  void untrack(unsigned fault);

  /// Kernel ids of what is loaded now, for residue.
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
