// HandedOver: sockets that a target's processes have, though another cgroup made them: by socket activation, from a
// parent, or before they moved. The kernel tells such a socket by its maker's cgroup, so each gets a number of its own,
// which what it accepts inherits. Needs CAP_BPF and CAP_SYS_PTRACE. Worker thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "kernel/proc_tree.h"
#include "kernel/shared_maps.h"

namespace chaos {

struct HandedOverSocket {
  pid_t pid = 0;  ///< who has it
  proc::OpenSocket open;
};

class HandedOver {
 public:
  /// `maps` must outlive it.
  explicit HandedOver(const SharedMaps& maps) : maps_(maps) {}

  /// Adds these to what `fault` means. Those that are gone by now are left out. Errors: kRefused (the table is full),
  /// kDenied (descriptors may not be looked at), kInternal; then it may mean some of them.
  Status add(unsigned fault, const std::vector<HandedOverSocket>& sockets);
  /// None any more. Call it once no packet is decided on for the fault.
  void remove(unsigned fault) const;

 private:
  Status add_one(unsigned fault, const HandedOverSocket& socket);
  const SharedMaps& maps_;
  std::uint32_t next_ = CHAOS_HANDED_OVER;
};

}  // namespace chaos
