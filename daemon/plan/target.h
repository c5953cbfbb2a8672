// Target: what may be hit, as the request names it (not yet resolved). Values only; any thread.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos {

/// Keys with the values given for them; a repeated key means any of these, different keys mean all of these.
using TargetKeys = std::map<std::string, std::vector<std::string>>;

enum class Direction : std::uint8_t { kEgress, kIngress, kBoth };
[[nodiscard]] std::string_view to_string(Direction direction);

/// An address range; IPv4 is held as v4-mapped IPv6, with `bits` counted from there (96 + prefix length).
struct Prefix {
  std::uint8_t address[16]{};
  unsigned bits = 0;

  /// "10.0.0.0/8", "fd00::/8", or a single address. Host bits must be zero; a scope ("fe80::1%eth0") is refused.
  /// Error: kInvalid.
  static Result<Prefix> parse(std::string_view text);
  /// 0.0.0.0/0. A trie that holds an IPv6 prefix shorter than this one must hold this one as well, with what applies to
  /// IPv4: else "::/0" would match all of IPv4.
  static Prefix all_v4();
  [[nodiscard]] bool is_v4() const;
  /// Of the same family only: "::/0" contains no IPv4 address.
  [[nodiscard]] bool contains(const Prefix& other) const;
  /// Canonical, and what parse() takes; a single address has no length.
  [[nodiscard]] std::string str() const;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// The filters of a network target, resolved. Empty list: not narrowed by that.
struct NetFilter {
  std::vector<Prefix> peers;
  std::vector<std::uint16_t> remote_ports;
  std::vector<std::uint16_t> local_ports;
  std::vector<std::uint8_t> protocols;
  std::vector<uid_t> uids;
  Direction direction = Direction::kBoth;
};

/// Target keys that CONTRACT defines, whether or not this version supports them.
[[nodiscard]] bool is_target_key(std::string_view key);

/// Parses the narrowing keys (peer, port, local-port, protocol, direction, uid) and leaves the others alone. The lists
/// come sorted and without repeats.
///   peer        CIDR, address or host name; a name gives all its addresses of both families by getaddrinfo (blocks:
///               planner thread only); "service:NAME" is for peer_service.h
///   port, local-port   1 to 65535: one ("80"), a range ("8000-8010"), or a comma list of these; ranges are expanded
///   protocol    tcp, udp, icmp (ICMP and ICMPv6), icmpv6, or a number from 0 to 255
///   uid         the number of a user, of the owner of the socket
///   direction   egress, ingress, both; egress and ingress together are both
/// Errors have the field `target.KEY`: kInvalid; kNotFound for a name that does not resolve (kUnavailable if the
/// resolver says to try again).
[[nodiscard]] Result<NetFilter> parse_net_filter(const TargetKeys& keys);

}  // namespace chaos
