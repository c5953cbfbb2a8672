// Protection: keeps the kernel's list of traffic that no packet fault may hit true: sshd's ports (really listening or
// configured), the callers' own SSH connections, and `protect:` of the configuration. Worker thread.
#pragma once

#include <bitset>
#include <chrono>
#include <optional>
#include <set>

#include "base/result.h"
#include "config/config.h"
#include "kernel/shared_maps.h"
#include "safety/protected.h"

namespace chaos {

class Protection {
 public:
  /// `maps` must outlive it.
  Protection(const SharedMaps& maps, ProtectedSources sources = {});

  /// Prefixes and ports of the configuration; replaces those of an earlier call. Error: kInvalid, kInternal.
  Status configure(const Protect& protect);
  /// Looks for sshd again if the last look is older than `max_age`. Error: kInternal.
  Status refresh(std::chrono::nanoseconds max_age);
  /// Protects the SSH connection that `pid` came in by, from now on. Cheap if it came in by none.
  Status protect_caller(pid_t pid);

 private:
  using Ports = std::bitset<65536>;
  void write_ports();
  Status write_peers(const std::vector<chaos_prefix_key>& wanted);

  const SharedMaps& maps_;
  ProtectedSources sources_;
  Ports configured_;
  Ports ssh_;
  std::vector<chaos_prefix_key> peers_;
  std::optional<std::chrono::nanoseconds> last_look_;
};

}  // namespace chaos
