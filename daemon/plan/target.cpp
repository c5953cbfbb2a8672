#include "plan/target.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/contains.h"
#include "base/units.h"

namespace chaos {
namespace {

constexpr unsigned kMappedBits = 96;
constexpr unsigned kAllBits = 128;
constexpr std::uint8_t kMapped[kMappedBits / 8] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

constexpr std::string_view kPeer = "peer";
constexpr std::string_view kPort = "port";
constexpr std::string_view kLocalPort = "local-port";
constexpr std::string_view kProtocol = "protocol";
constexpr std::string_view kDirection = "direction";
constexpr std::string_view kUid = "uid";

std::string field_of(std::string_view key) { return fmt::format("target.{}", key); }

bool is_mapped(const std::uint8_t* address) { return std::memcmp(address, kMapped, sizeof kMapped) == 0; }

/// Clears all bits from `bits` on.
Prefix masked(Prefix prefix) {
  for (unsigned i = 0; i < sizeof prefix.address; ++i) {
    const unsigned kept = prefix.bits > i * 8 ? std::min(prefix.bits - i * 8, 8U) : 0;
    prefix.address[i] = static_cast<std::uint8_t>(prefix.address[i] & (0xff00U >> kept));
  }
  return prefix;
}

Prefix from_v4(const in_addr& address) {
  Prefix prefix;
  std::memcpy(prefix.address, kMapped, sizeof kMapped);
  std::memcpy(prefix.address + sizeof kMapped, &address, sizeof address);
  prefix.bits = kAllBits;
  return prefix;
}

Prefix from_v6(const in6_addr& address) {
  Prefix prefix;
  std::memcpy(prefix.address, &address, sizeof address);
  prefix.bits = kAllBits;
  return prefix;
}

std::unexpected<Error> no_prefix(std::string_view text, std::string_view rule, std::string_view hint) {
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not an address or prefix", text), {}, std::string(rule),
              std::string(hint));
}

/// True for text that is no host name, or that getaddrinfo would take for a number ("10.1", "0x7f.1", "::1%lo").
bool looks_numeric(const std::string& text) {
  in_addr ignored{};
  if (text.find_first_not_of("0123456789.") == std::string::npos) return true;
  return text.find_first_of(std::string_view(":%/\0", 4)) != std::string::npos ||
         ::inet_aton(text.c_str(), &ignored) != 0;
}

Result<std::vector<Prefix>> resolve_host(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int rc = ::getaddrinfo(name.c_str(), nullptr, &hints, &list); rc != 0) {
    const bool later = rc == EAI_AGAIN;
    return fail(
        later ? Errc::kUnavailable : Errc::kNotFound,
        fmt::format("the host name \"{}\" does not resolve: {}", name, ::gai_strerror(rc)), {},
        "an address, a prefix or a name that resolves here",
        later ? "try again when the resolver answers, or give an address" : "check the name, or give an address");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  std::vector<Prefix> prefixes;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) {
      prefixes.push_back(from_v4(reinterpret_cast<const sockaddr_in*>(entry->ai_addr)->sin_addr));
    } else if (entry->ai_family == AF_INET6) {
      prefixes.push_back(from_v6(reinterpret_cast<const sockaddr_in6*>(entry->ai_addr)->sin6_addr));
    }
  }
  return prefixes;
}

Result<std::vector<Prefix>> parse_peer(const std::string& text) {
  auto prefix = Prefix::parse(text);
  if (prefix) return std::vector{*prefix};
  if (looks_numeric(text)) return std::unexpected(std::move(prefix.error()));
  return resolve_host(text);
}

std::unexpected<Error> no_port(std::string_view text) {
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not a port, a range or a comma list of these", text), {},
              "1 to 65535", "write 80, 8000-8010 or 80,443");
}

Result<std::vector<std::uint16_t>> parse_ports(const std::string& text) {
  std::vector<std::uint16_t> ports;
  std::string_view rest = text;
  while (true) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const auto dash = item.find('-');
    const auto first = parse_unsigned(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_unsigned(item.substr(dash + 1));
    if (!first || !last || *first < 1 || *last > 65535 || *first > *last) return no_port(text);
    for (auto port = *first; port <= *last; ++port) ports.push_back(static_cast<std::uint16_t>(port));
    if (comma == std::string_view::npos) return ports;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::vector<std::uint8_t>> parse_protocol(const std::string& text) {
  if (text == "tcp") return std::vector<std::uint8_t>{IPPROTO_TCP};
  if (text == "udp") return std::vector<std::uint8_t>{IPPROTO_UDP};
  if (text == "icmp") return std::vector<std::uint8_t>{IPPROTO_ICMP, IPPROTO_ICMPV6};
  if (text == "icmpv6") return std::vector<std::uint8_t>{IPPROTO_ICMPV6};
  const auto number = parse_unsigned(text);
  if (number && *number <= 255) return std::vector{static_cast<std::uint8_t>(*number)};
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not a protocol", text), {},
              "tcp, udp, icmp, icmpv6 or a number from 0 to 255", "give one of these");
}

/// Bit 0: egress, bit 1: ingress.
Result<std::vector<unsigned>> parse_direction(const std::string& text) {
  if (text == "egress") return std::vector{1U};
  if (text == "ingress") return std::vector{2U};
  if (text == "both") return std::vector{3U};
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not a direction", text), {}, "egress, ingress or both",
              "give one of these");
}

Result<std::vector<uid_t>> parse_uid(const std::string& text) {
  const auto number = parse_unsigned(text);
  // The highest one is -1: "no user" to the kernel.
  if (number && *number < 0xffffffffU) return std::vector{static_cast<uid_t>(*number)};
  return fail(Errc::kInvalid, fmt::format("\"{}\" is not a user id", text), {}, "a number below 4294967295",
              "see `id -u NAME`");
}

/// All values of `key`, parsed, sorted and without repeats; nothing if the key is absent.
template <class T>
Result<std::vector<T>> parse_values(const TargetKeys& keys, std::string_view key,
                                    Result<std::vector<T>> (*parse)(const std::string&)) {
  std::vector<T> all;
  const auto found = keys.find(std::string(key));
  if (found == keys.end()) return all;
  // An empty list would otherwise read as "not narrowed": the widest target instead of none.
  if (found->second.empty()) {
    return fail(Errc::kInvalid, fmt::format("{} has no value", key), field_of(key), "one value or more",
                "give a value or leave the key out");
  }
  for (const std::string& text : found->second) {
    auto values = parse(text);
    if (!values) {
      values.error().field = field_of(key);
      return with_context(key, std::move(values.error()));
    }
    all.insert(all.end(), values->begin(), values->end());
  }
  std::ranges::sort(all);
  const auto repeats = std::ranges::unique(all);
  all.erase(repeats.begin(), repeats.end());
  return all;
}

bool has_ports(std::uint8_t protocol) {
  constexpr std::array<std::uint8_t, 5> kWithPorts = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP,
                                                      IPPROTO_UDPLITE};
  return contains(kWithPorts, protocol);
}

Status check_ports_fit_protocols(const NetFilter& filter) {
  if (filter.protocols.empty() || std::ranges::any_of(filter.protocols, has_ports)) return {};
  if (filter.remote_ports.empty() && filter.local_ports.empty()) return {};
  const std::string_view key = filter.remote_ports.empty() ? kLocalPort : kPort;
  return fail(Errc::kInvalid, fmt::format("{}: none of the given protocols has ports, so nothing would match", key),
              field_of(key), "with tcp, udp, sctp, dccp or udplite", fmt::format("leave out {} or protocol", key));
}

}  // namespace

std::string_view to_string(Direction direction) {
  switch (direction) {
    case Direction::kEgress:
      return "egress";
    case Direction::kIngress:
      return "ingress";
    case Direction::kBoth:
      return "both";
  }
  return "unknown";
}

Result<Prefix> Prefix::parse(std::string_view text) {
  if (text.contains('\0')) return no_prefix(text.substr(0, text.find('\0')), "text without NUL", "leave the NUL out");
  if (text.contains('%')) {
    return no_prefix(text, "no scope", "leave out the part from % on; name the interface as the target");
  }
  const auto slash = text.find('/');
  const std::string address_text(text.substr(0, slash));
  in_addr v4{};
  in6_addr v6{};
  Prefix prefix;
  unsigned base = 0;
  if (::inet_pton(AF_INET, address_text.c_str(), &v4) == 1) {
    prefix = from_v4(v4);
    base = kMappedBits;
  } else if (::inet_pton(AF_INET6, address_text.c_str(), &v6) == 1) {
    prefix = from_v6(v6);
  } else {
    return no_prefix(text, "IPv4 or IPv6", "write 10.0.0.1, 10.0.0.0/8, fd00::1 or fd00::/8");
  }
  if (slash == std::string_view::npos) return prefix;
  const auto length = parse_unsigned(text.substr(slash + 1));
  const unsigned longest = kAllBits - base;
  if (!length || *length > longest) {
    return no_prefix(text, fmt::format("length 0 to {}", longest), "give the prefix length in bits behind the slash");
  }
  prefix.bits = base + static_cast<unsigned>(*length);
  if (const Prefix fitting = masked(prefix); fitting != prefix) {
    return fail(Errc::kInvalid, fmt::format("\"{}\" has host bits that are not zero", text), {}, "host bits are zero",
                fmt::format("write {} for the range or {} for the one address", fitting.str(), address_text));
  }
  return prefix;
}

Prefix Prefix::all_v4() {
  Prefix prefix = from_v4(in_addr{});
  prefix.bits = kMappedBits;
  return prefix;
}

bool Prefix::is_v4() const { return bits >= kMappedBits && is_mapped(address); }

bool Prefix::contains(const Prefix& other) const {
  if (other.bits < bits || other.is_v4() != is_v4()) return false;
  Prefix cut = other;
  cut.bits = bits;
  return masked(cut) == masked(*this);
}

std::string Prefix::str() const {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v4 = is_v4();
  ::inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + sizeof kMapped : address, text, sizeof text);
  if (bits == kAllBits) return text;
  return fmt::format("{}/{}", text, v4 ? bits - kMappedBits : bits);
}

bool is_target_key(std::string_view key) {
  constexpr std::array<std::string_view, 15> kKeys = {
      "host", "service", "unit",     "cgroup",  "container", "pid", "interface", "netns",
      kPeer,  kPort,     kLocalPort, kProtocol, kDirection,  kUid,  "comm",
  };
  return contains(kKeys, key);
}

Result<NetFilter> parse_net_filter(const TargetKeys& keys) {
  auto protocols = parse_values(keys, kProtocol, parse_protocol);
  if (!protocols) return std::unexpected(std::move(protocols.error()));
  auto remote_ports = parse_values(keys, kPort, parse_ports);
  if (!remote_ports) return std::unexpected(std::move(remote_ports.error()));
  auto local_ports = parse_values(keys, kLocalPort, parse_ports);
  if (!local_ports) return std::unexpected(std::move(local_ports.error()));
  const auto directions = parse_values(keys, kDirection, parse_direction);
  if (!directions) return std::unexpected(directions.error());

  auto uids = parse_values(keys, kUid, parse_uid);
  if (!uids) return std::unexpected(std::move(uids.error()));

  NetFilter filter;
  filter.uids = std::move(*uids);
  filter.protocols = std::move(*protocols);
  filter.remote_ports = std::move(*remote_ports);
  filter.local_ports = std::move(*local_ports);
  unsigned ways = 0;
  for (const unsigned way : *directions) ways |= way;
  if (ways == 1) filter.direction = Direction::kEgress;
  if (ways == 2) filter.direction = Direction::kIngress;
  if (auto status = check_ports_fit_protocols(filter); !status) return std::unexpected(std::move(status.error()));

  // Last, since it may ask the network.
  auto peers = parse_values(keys, kPeer, parse_peer);
  if (!peers) return std::unexpected(std::move(peers.error()));
  filter.peers = std::move(*peers);
  return filter;
}

}  // namespace chaos
