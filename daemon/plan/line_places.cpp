#include "plan/line_places.h"

namespace chaos {

std::string why_no_line(const Interface& interface) {
  if (interface.loopback) {
    // KERNEL.md: two settings of the host and a program that changes the packet type would do it.
    return "a delay line cannot give back what the host sends to itself: the route that came with the packet is lost";
  }
  if (interface.l2_len() == 0) return "it has no Ethernet header, which a delay line needs";
  return {};
}

std::string why_no_receiver(const Interface& interface) {
  if (interface.port)
    return "what arrives there is held where it goes on to, at the bridge or bond that it is a port of";
  return {};
}

}  // namespace chaos
