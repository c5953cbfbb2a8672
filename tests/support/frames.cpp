#include "support/frames.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <stdexcept>

namespace chaos::test {
namespace {

void put16(Frame& frame, std::uint16_t value) {
  frame.push_back(static_cast<std::uint8_t>(value >> 8));
  frame.push_back(static_cast<std::uint8_t>(value & 0xff));
}

void put(Frame& frame, std::initializer_list<std::uint8_t> bytes) { frame.insert(frame.end(), bytes); }

/// Broadcast, from a locally administered address.
void put_ethernet(Frame& frame, const std::vector<VlanTag>& tags, std::uint16_t ethertype) {
  put(frame, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x77});
  for (const VlanTag& tag : tags) {
    put16(frame, tag.ethertype);
    put16(frame, tag.id);
  }
  put16(frame, ethertype);
}

void put_udp(Frame& frame, std::uint16_t source_port, std::uint16_t destination_port) {
  constexpr std::size_t kPayload = 64;
  put16(frame, source_port);
  put16(frame, destination_port);
  put16(frame, 8 + kPayload);
  put16(frame, 0);
  frame.insert(frame.end(), kPayload, 0x5a);
}

}  // namespace

FrameSocket::FrameSocket(const std::string& interface) {
  fd_.reset(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  ifindex_ = static_cast<int>(if_nametoindex(interface.c_str()));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = ifindex_;
  const int buffer = 64 << 20;
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
  if (!fd_.valid() || bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("AF_PACKET on " + interface);
  }
}

void FrameSocket::send(std::span<const std::uint8_t> frame) {
  if (::send(fd_.get(), frame.data(), frame.size(), 0) < 0) throw std::runtime_error("send frame");
}

std::uint64_t FrameSocket::count(const std::function<bool(std::span<const std::uint8_t>)>& wanted) {
  std::uint64_t found = 0;
  std::array<std::uint8_t, 65536> buffer{};
  while (true) {
    sockaddr_ll from{};
    socklen_t length = sizeof(from);
    const ssize_t got =
        recvfrom(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) return found;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    if (wanted(std::span(buffer.data(), static_cast<std::size_t>(got)))) ++found;
  }
}

Frame udp_frame(const std::vector<VlanTag>& vlan_tags, std::uint16_t source_port, std::uint16_t destination_port) {
  Frame frame;
  put_ethernet(frame, vlan_tags, ETH_P_IP);
  put(frame, {0x45, 0});
  put16(frame, 20 + 8 + 64);
  put(frame, {0, 1, 0, 0, 64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2});
  put_udp(frame, source_port, destination_port);
  return frame;
}

Frame udp6_extension_frame(std::uint16_t source_port, std::uint16_t destination_port) {
  Frame frame;
  put_ethernet(frame, {}, ETH_P_IPV6);
  put(frame, {0x60, 0, 0, 0});
  put16(frame, 8 + 8 + 8 + 64);
  put(frame, {0, 64});  // next: hop-by-hop
  put(frame, {0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  put(frame, {0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});
  put(frame, {60, 0, 1, 4, 0, 0, 0, 0});  // hop-by-hop with padding; next: destination options
  put(frame, {17, 0, 1, 4, 0, 0, 0, 0});  // destination options with padding; next: UDP
  put_udp(frame, source_port, destination_port);
  return frame;
}

std::uint16_t ethertype_of(std::span<const std::uint8_t> frame) {
  return frame.size() < 14 ? 0 : static_cast<std::uint16_t>(frame[12] << 8 | frame[13]);
}

}  // namespace chaos::test
