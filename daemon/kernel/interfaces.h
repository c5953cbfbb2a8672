// Interfaces of the calling thread's network namespace, over rtnetlink (libnl). Any thread; each call opens and closes
// its own socket. No privilege needed.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"

namespace chaos {

struct Interface {
  unsigned ifindex = 0;
  std::string name;
  unsigned arp_type = 0;  ///< ARPHRD_*
  bool loopback = false;
  bool up = false;
  bool port = false;  ///< of a bridge, a bond or their like: what arrives goes on to that interface

  /// Length of the link-layer header that skbs carry at tc: 14 for Ethernet and loopback, 0 for layer-3 devices.
  [[nodiscard]] std::uint8_t l2_len() const;
};

/// All interfaces, by ifindex. Error: kInternal.
[[nodiscard]] Result<std::vector<Interface>> list_interfaces();
/// Indexes of interfaces that carry a default route, IPv4 or IPv6 (multipath included). Error: kInternal.
[[nodiscard]] Result<std::set<unsigned>> default_route_interfaces();

}  // namespace chaos
