#include "kernel/interfaces.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/cache.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "kernel/netlink.h"

namespace chaos {
namespace {

struct CacheDeleter {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
using Cache = std::unique_ptr<nl_cache, CacheDeleter>;

std::unexpected<Error> fail_netlink(const char* what, int err) {
  return fail(Errc::kInternal, std::string(what) + ": " + nl_geterror(err));
}

/// A VRF is a table of routes: what arrives at its interfaces is delivered there.
bool is_port(nl_cache* all, rtnl_link* link) {
  const int master = rtnl_link_get_master(link);
  if (master == 0) return false;
  rtnl_link* found = rtnl_link_get(all, master);
  if (found == nullptr) return true;
  const char* type = rtnl_link_get_type(found);
  const bool vrf = type != nullptr && std::string_view(type) == "vrf";
  rtnl_link_put(found);
  return !vrf;
}

}  // namespace

std::uint8_t Interface::l2_len() const { return arp_type == ARPHRD_ETHER || arp_type == ARPHRD_LOOPBACK ? 14 : 0; }

Result<std::vector<Interface>> list_interfaces() {
  const auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  nl_cache* raw = nullptr;
  if (const int err = rtnl_link_alloc_cache(netlink->get(), AF_UNSPEC, &raw); err < 0) {
    return fail_netlink("list interfaces", err);
  }
  const Cache cache(raw);
  std::vector<Interface> interfaces;
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr; object = nl_cache_get_next(object)) {
    auto* link = reinterpret_cast<rtnl_link*>(object);
    const unsigned flags = rtnl_link_get_flags(link);
    interfaces.push_back({static_cast<unsigned>(rtnl_link_get_ifindex(link)), rtnl_link_get_name(link),
                          rtnl_link_get_arptype(link), (flags & IFF_LOOPBACK) != 0, (flags & IFF_UP) != 0,
                          is_port(cache.get(), link)});
  }
  std::ranges::sort(interfaces, {}, &Interface::ifindex);
  return interfaces;
}

Result<std::set<unsigned>> default_route_interfaces() {
  const auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  std::set<unsigned> found;
  for (const int family : {AF_INET, AF_INET6}) {
    nl_cache* raw = nullptr;
    if (const int err = rtnl_route_alloc_cache(netlink->get(), family, 0, &raw); err < 0) {
      return fail_netlink("list routes", err);
    }
    const Cache cache(raw);
    for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr; object = nl_cache_get_next(object)) {
      auto* route = reinterpret_cast<rtnl_route*>(object);
      if (rtnl_route_get_type(route) != RTN_UNICAST || nl_addr_get_prefixlen(rtnl_route_get_dst(route)) != 0) continue;
      rtnl_route_foreach_nexthop(
          route,
          [](rtnl_nexthop* hop, void* set) {
            static_cast<std::set<unsigned>*>(set)->insert(static_cast<unsigned>(rtnl_route_nh_get_ifindex(hop)));
          },
          &found);
    }
  }
  return found;
}

}  // namespace chaos
