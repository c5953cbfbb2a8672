#include "kernel/socket_diag.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <sys/socket.h>

#include "kernel/netlink.h"

namespace chaos {
namespace {

constexpr std::uint8_t kListen = 10;  // TCP_LISTEN of include/net/tcp_states.h

Status list(Netlink& diag, std::uint8_t family, std::uint8_t protocol, std::vector<InetSocket>& sockets) {
  inet_diag_req_v2 request{};
  request.sdiag_family = family;
  request.sdiag_protocol = protocol;
  request.idiag_states = ~0U;
  return diag.dump(SOCK_DIAG_BY_FAMILY, request, [&](nlmsghdr* header) {
    if (nlmsg_valid_hdr(header, sizeof(inet_diag_msg)) == 0) return;
    const auto* found = static_cast<const inet_diag_msg*>(nlmsg_data(header));
    const nlattr* cgroup = nlmsg_find_attr(header, sizeof(inet_diag_msg), INET_DIAG_CGROUP_ID);
    sockets.push_back({.inode = found->idiag_inode,
                       .cgroup = cgroup != nullptr ? nla_get_u64(cgroup) : 0,
                       .protocol = protocol,
                       .local_port = ntohs(found->id.idiag_sport),
                       .listening = found->idiag_state == kListen});
  });
}

}  // namespace

Result<std::vector<InetSocket>> list_inet_sockets() {
  auto diag = Netlink::open(NETLINK_SOCK_DIAG);
  Status status = diag ? Status() : std::unexpected(diag.error());
  std::vector<InetSocket> sockets;
  for (const std::uint8_t protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}}) {
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      if (status) status = list(*diag, family, protocol, sockets);
    }
  }
  if (status) return sockets;
  return fail(Errc::kUnsupported, "sockets cannot be listed by sock_diag: " + status.error().message, {},
              "CONFIG_INET_DIAG and CONFIG_INET_UDP_DIAG", "modprobe tcp_diag udp_diag");
}

}  // namespace chaos
