// TcpSockets: the TCP sockets of a network namespace with what the kernel measures of each (TCP_INFO), by sock_diag(7):
// never by /proc/net/tcp, which costs a hundred times as much. Any thread; blocks (a millisecond per few thousand).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos {

struct TcpSocketInfo {
  std::uint8_t state = 0;         ///< include/net/tcp_states.h
  std::uint64_t inode = 0;        ///< 0: no process has it
  std::uint64_t cgroup = 0;       ///< id of the cgroup that made it; 0: not known, or no full socket
  bool has_info = false;          ///< of what follows
  std::uint32_t rtt_us = 0;       ///< smoothed; 0: none was measured
  std::uint32_t retransmits = 0;  ///< segments sent again, since it was made
  std::uint32_t lost = 0;         ///< segments thought lost now
  std::uint32_t unacknowledged = 0;
  std::uint32_t send_queue_bytes = 0;
  std::uint32_t receive_queue_bytes = 0;  ///< of a listener: connections that wait to be accepted
};

/// IPv4 and IPv6, of the calling thread's namespace. Error: kUnsupported without CONFIG_INET_DIAG.
[[nodiscard]] Result<std::vector<TcpSocketInfo>> list_tcp_sockets();
/// "ESTABLISHED" and its like, as include/net/tcp_states.h has them; "UNKNOWN" for others.
[[nodiscard]] std::string_view tcp_state_name(std::uint8_t state);

}  // namespace chaos
