#include "kernel/socket_diag.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include <memory>

namespace chaos {
namespace {

constexpr std::uint8_t kListen = 10;  // TCP_LISTEN of include/net/tcp_states.h

struct Free {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};

struct Listing {
  std::uint8_t protocol = 0;
  std::vector<InetSocket>* sockets = nullptr;
};

int on_message(nl_msg* message, void* argument) noexcept {
  auto* listing = static_cast<Listing*>(argument);
  nlmsghdr* header = nlmsg_hdr(message);
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || !nlmsg_valid_hdr(header, sizeof(inet_diag_msg))) return NL_OK;
  const auto* found = static_cast<const inet_diag_msg*>(nlmsg_data(header));
  const nlattr* cgroup = nlmsg_find_attr(header, sizeof(inet_diag_msg), INET_DIAG_CGROUP_ID);
  listing->sockets->push_back({.inode = found->idiag_inode,
                               .cgroup = cgroup != nullptr ? nla_get_u64(cgroup) : 0,
                               .protocol = listing->protocol,
                               .local_port = ntohs(found->id.idiag_sport),
                               .listening = found->idiag_state == kListen});
  return NL_OK;
}

}  // namespace

Result<std::vector<InetSocket>> list_inet_sockets() {
  const std::unique_ptr<nl_sock, Free> socket(nl_socket_alloc());
  int code = socket ? nl_connect(socket.get(), NETLINK_SOCK_DIAG) : -NLE_NOMEM;
  std::vector<InetSocket> sockets;
  for (const std::uint8_t protocol : {std::uint8_t{IPPROTO_TCP}, std::uint8_t{IPPROTO_UDP}}) {
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      Listing listing{protocol, &sockets};
      inet_diag_req_v2 request{};
      request.sdiag_family = family;
      request.sdiag_protocol = protocol;
      request.idiag_states = ~0U;
      if (code >= 0) code = nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &listing);
      if (code >= 0) {
        code = nl_send_simple(socket.get(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, sizeof(request));
      }
      if (code >= 0) code = nl_recvmsgs_default(socket.get());
    }
  }
  if (code >= 0) return sockets;
  return fail(Errc::kUnsupported, std::string("sockets cannot be listed by sock_diag: ") + nl_geterror(code), {},
              "CONFIG_INET_DIAG and CONFIG_INET_UDP_DIAG", "modprobe tcp_diag udp_diag");
}

}  // namespace chaos
