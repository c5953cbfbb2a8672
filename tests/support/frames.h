// Raw frames: an AF_PACKET socket on one interface as the observer of what is on the wire, and a sender of frames that
// the stack would not make. Runs in the namespace of the thread that made it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

using Frame = std::vector<std::uint8_t>;

class FrameSocket {
 public:
  /// All frames that come in on `interface` (not what this host sends).
  explicit FrameSocket(const std::string& interface);
  void send(std::span<const std::uint8_t> frame);
  /// Frames that have arrived since the last call and satisfy `wanted`.
  std::uint64_t count(const std::function<bool(std::span<const std::uint8_t>)>& wanted);

 private:
  UniqueFd fd_;
  int ifindex_ = 0;
};

/// Ethernet frame with IPv4 and UDP, 64 bytes of payload; `vlan_tags` outermost first, each EtherType and id.
struct VlanTag {
  std::uint16_t ethertype;
  std::uint16_t id;
};
Frame udp_frame(const std::vector<VlanTag>& vlan_tags, std::uint16_t source_port, std::uint16_t destination_port);
/// Ethernet frame with IPv6, a hop-by-hop header and a destination options header, then UDP.
Frame udp6_extension_frame(std::uint16_t source_port, std::uint16_t destination_port);

[[nodiscard]] std::uint16_t ethertype_of(std::span<const std::uint8_t> frame);

}  // namespace chaos::test
