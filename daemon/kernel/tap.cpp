#include "kernel/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>

namespace chaos {
namespace {

constexpr const char* kDevice = "/dev/net/tun";
/// The largest that a TAP takes: whatever goes through any device fits.
constexpr unsigned kMtu = 65521;
// linux/if_tun.h has them since 6.2; older kernels refuse them.
constexpr unsigned kUso4 = 0x20;
constexpr unsigned kUso6 = 0x40;

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct FreeLink {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using Link = std::unique_ptr<rtnl_link, FreeLink>;

/// By name, in the calling thread's namespace.
Result<unsigned> ifindex_of(const std::string& name) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket.valid() || ::ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) return fail_errno("look for " + name);
  return static_cast<unsigned>(request.ifr_ifindex);
}

/// Changes a link of the calling thread's namespace as `fill` says.
Status change_link(unsigned ifindex, const std::string& what, const std::function<void(rtnl_link*)>& fill) {
  const std::unique_ptr<nl_sock, FreeSocket> socket(nl_socket_alloc());
  const Link original(rtnl_link_alloc());
  const Link change(rtnl_link_alloc());
  if (!socket || !original || !change) return fail(Errc::kInternal, what + ": out of memory");
  int code = nl_connect(socket.get(), NETLINK_ROUTE);
  rtnl_link_set_ifindex(original.get(), static_cast<int>(ifindex));
  fill(change.get());
  if (code >= 0) code = rtnl_link_change(socket.get(), original.get(), change.get(), 0);
  if (code < 0) return fail(Errc::kInternal, what + ": " + nl_geterror(code));
  return {};
}

Status move_link(const std::string& name, const Netns& netns) {
  const auto ifindex = ifindex_of(name);
  if (!ifindex) return std::unexpected(ifindex.error());
  return change_link(*ifindex, "move " + name + " into its namespace",
                     [&](rtnl_link* link) { rtnl_link_set_ns_fd(link, netns.fd()); });
}

Result<UniqueFd> open_tap(const std::string& name) {
  UniqueFd fd(::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    return fail(Errc::kUnsupported, std::string("cannot open ") + kDevice + ": " + std::strerror(errno), {},
                "a delay line is a TAP device", "load the module tun, and let chaosd open the file");
  }
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno != EBUSY && errno != EEXIST) return fail_errno("make the TAP device " + name);
    return fail(Errc::kRefused, "there is a device " + name + " already");
  }
  int header = sizeof(virtio_net_hdr);
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) return fail_errno("set the header of " + name);
  return fd;
}

}  // namespace

Result<Tap> Tap::create(const std::string& name, const Netns& netns) {
  Result<UniqueFd> opened = fail(Errc::kInternal, "not opened");
  Status moved;
  const auto own = Netns::current();
  if (!own) return std::unexpected(own.error());
  const auto open_here = [&] {
    opened = open_tap(name);
    if (opened && own->inode() != netns.inode()) moved = move_link(name, netns);
  };
  // In the process's own namespace, whatever namespace the calling thread is in.
  if (Status entered = own->run(open_here); !entered) return std::unexpected(entered.error());
  if (!opened) return std::unexpected(opened.error());
  if (!moved) return std::unexpected(moved.error());
  Tap tap(std::move(*opened), name);
  if (Status status = tap.set_offloads(true); !status) return std::unexpected(status.error());
  Result<unsigned> ifindex = 0U;
  Status entered = netns.run([&] { ifindex = ifindex_of(name); });
  if (!entered) return std::unexpected(entered.error());
  if (!ifindex) return std::unexpected(ifindex.error());
  tap.ifindex_ = *ifindex;
  return tap;
}

Status Tap::bring_up() const {
  return change_link(ifindex_, "bring up " + name_, [](rtnl_link* link) {
    rtnl_link_set_txqlen(link, kTapQueue);
    rtnl_link_set_mtu(link, kMtu);
    rtnl_link_inet6_set_addr_gen_mode(link, rtnl_link_inet6_str2addrgenmode("none"));
    rtnl_link_set_flags(link, IFF_NOARP | IFF_UP);
  });
}

Status Tap::set_offloads(bool offloads) const {
  constexpr unsigned kOld = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (!offloads) {
    return ::ioctl(fd_.get(), TUNSETOFFLOAD, 0UL) == 0 ? Status() : fail_errno("take offloads from " + name_);
  }
  if (::ioctl(fd_.get(), TUNSETOFFLOAD, static_cast<unsigned long>(kOld | kUso4 | kUso6)) == 0) return {};
  if (::ioctl(fd_.get(), TUNSETOFFLOAD, static_cast<unsigned long>(kOld)) == 0) return {};
  return fail_errno("set offloads of " + name_);
}

}  // namespace chaos
