// SocketDiag: the internet sockets of a network namespace, as sock_diag(7) lists them. Any thread; blocks (a
// millisecond per few thousand sockets).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace chaos {

struct InetSocket {
  std::uint64_t inode = 0;  ///< 0: no process has it (yet)
  std::uint64_t cgroup =
      0;  ///< id of the cgroup that made it; 0: the kernel does not say (before 5.9, or no cgroup v2)
  std::uint8_t protocol = 0;  ///< IPPROTO_TCP or IPPROTO_UDP
  std::uint16_t local_port = 0;
  bool listening = false;
};

/// TCP and UDP, IPv4 and IPv6, of the calling thread's namespace. Error: kUnsupported if the kernel has no inet_diag
/// for one of them.
[[nodiscard]] Result<std::vector<InetSocket>> list_inet_sockets();

}  // namespace chaos
