#include "bench/frames.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <array>

namespace chaos::bench {
namespace {

constexpr std::array<std::uint8_t, 18> kPayload{};

template <class Header>
void append(std::vector<std::uint8_t>& frame, const Header& header) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&header);
  frame.insert(frame.end(), bytes, bytes + sizeof(header));
}

void append_network(std::vector<std::uint8_t>& frame, const FrameSpec& spec, std::size_t transport_length) {
  const std::uint8_t protocol = spec.tcp ? IPPROTO_TCP : IPPROTO_UDP;
  if (spec.ipv6) {
    ip6_hdr ip{};
    ip.ip6_flow = htonl(6U << 28);
    ip.ip6_plen = htons(static_cast<std::uint16_t>(transport_length));
    ip.ip6_nxt = protocol;
    ip.ip6_hlim = 64;
    inet_pton(AF_INET6, "fd77::1", &ip.ip6_src);
    inet_pton(AF_INET6, "fd77::2", &ip.ip6_dst);
    append(frame, ip);
  } else {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tot_len = htons(static_cast<std::uint16_t>(sizeof(ip) + transport_length));
    ip.ttl = 64;
    ip.protocol = protocol;
    ip.saddr = inet_addr("10.77.0.1");
    ip.daddr = inet_addr("10.77.0.2");
    append(frame, ip);
  }
}

}  // namespace

std::vector<std::uint8_t> make_frame(const FrameSpec& spec) {
  std::vector<std::uint8_t> frame;
  ether_header ethernet{};
  ethernet.ether_dhost[0] = ethernet.ether_shost[0] = 0x02;
  ethernet.ether_type = htons(spec.ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
  append(frame, ethernet);
  const std::size_t header = spec.tcp ? sizeof(tcphdr) : sizeof(udphdr);
  append_network(frame, spec, header + kPayload.size());
  if (spec.tcp) {
    tcphdr tcp{};
    tcp.source = htons(spec.source_port);
    tcp.dest = htons(spec.destination_port);
    tcp.doff = 5;
    append(frame, tcp);
  } else {
    udphdr udp{};
    udp.source = htons(spec.source_port);
    udp.dest = htons(spec.destination_port);
    udp.len = htons(static_cast<std::uint16_t>(header + kPayload.size()));
    append(frame, udp);
  }
  append(frame, kPayload);
  return frame;
}

}  // namespace chaos::bench
