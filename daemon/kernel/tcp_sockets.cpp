#include "kernel/tcp_sockets.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netlink/attr.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "kernel/netlink.h"

namespace chaos {
namespace {

constexpr std::uint8_t kListen = 10;
// include/net/tcp_states.h, from 1.
constexpr std::array<std::string_view, 12> kStates{"ESTABLISHED", "SYN_SENT",  "SYN_RECV", "FIN_WAIT1",
                                                   "FIN_WAIT2",   "TIME_WAIT", "CLOSE",    "CLOSE_WAIT",
                                                   "LAST_ACK",    "LISTEN",    "CLOSING",  "NEW_SYN_RECV"};

TcpSocketInfo read_socket(nlmsghdr* header) {
  const auto* found = static_cast<const inet_diag_msg*>(nlmsg_data(header));
  TcpSocketInfo socket;
  socket.state = found->idiag_state;
  socket.inode = found->idiag_inode;
  socket.send_queue_bytes = found->idiag_state == kListen ? 0 : found->idiag_wqueue;
  socket.receive_queue_bytes = found->idiag_rqueue;
  const nlattr* cgroup = nlmsg_find_attr(header, sizeof(inet_diag_msg), INET_DIAG_CGROUP_ID);
  if (cgroup != nullptr) socket.cgroup = nla_get_u64(cgroup);
  const nlattr* attribute = nlmsg_find_attr(header, sizeof(inet_diag_msg), INET_DIAG_INFO);
  if (attribute == nullptr || found->idiag_state == kListen) return socket;
  // Other kernels have fewer fields, or more.
  tcp_info info{};
  std::memcpy(&info, nla_data(attribute), std::min(sizeof info, static_cast<std::size_t>(nla_len(attribute))));
  socket.has_info = true;
  socket.rtt_us = info.tcpi_rtt;
  socket.retransmits = info.tcpi_total_retrans;
  socket.lost = info.tcpi_lost;
  socket.unacknowledged = info.tcpi_unacked;
  return socket;
}

}  // namespace

Result<std::vector<TcpSocketInfo>> list_tcp_sockets() {
  auto diag = Netlink::open(NETLINK_SOCK_DIAG);
  Status status = diag ? Status() : std::unexpected(diag.error());
  std::vector<TcpSocketInfo> sockets;
  for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    inet_diag_req_v2 request{};
    request.sdiag_family = family;
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_ext = 1U << (INET_DIAG_INFO - 1);
    request.idiag_states = ~0U;
    if (!status) break;
    status = diag->dump(SOCK_DIAG_BY_FAMILY, request, [&](nlmsghdr* header) {
      if (nlmsg_valid_hdr(header, sizeof(inet_diag_msg)) != 0) sockets.push_back(read_socket(header));
    });
  }
  if (status) return sockets;
  return fail(Errc::kUnsupported, "TCP sockets cannot be listed by sock_diag: " + status.error().message, {},
              "CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG", "modprobe tcp_diag");
}

std::string_view tcp_state_name(std::uint8_t state) {
  return state >= 1 && state <= kStates.size() ? kStates[state - 1U] : "UNKNOWN";
}

}  // namespace chaos
