#include "fault/protection.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/clock.h"
#include "fault/prefix_key.h"
#include "plan/target.h"

namespace chaos {
namespace {

// DHCP and DHCPv6, client and server: without them a host loses its address.
constexpr std::uint16_t kDhcpPorts[] = {67, 68, 546, 547};

}  // namespace

Protection::Protection(const SharedMaps& maps, ProtectedSources sources) : maps_(maps), sources_(std::move(sources)) {
  ssh_.set(22);
  write_ports();
}

void Protection::write_ports() {
  SharedMaps::PortSet udp = configured_;
  for (const std::uint16_t port : kDhcpPorts) udp.set(port);
  maps_.write_protected_ports(configured_ | ssh_, udp);
}

Status Protection::write_peers(const std::vector<chaos_prefix_key>& wanted) {
  const std::uint8_t one = 1;
  for (const chaos_prefix_key& key : wanted) {
    if (bpf_map_update_elem(maps_.protected_peers_fd(), &key, &one, BPF_ANY) != 0) {
      return fail_errno("protect prefix");
    }
  }
  for (const chaos_prefix_key& key : peers_) {
    const bool still = std::ranges::any_of(
        wanted, [&](const chaos_prefix_key& other) { return std::memcmp(&key, &other, sizeof(key)) == 0; });
    if (!still) bpf_map_delete_elem(maps_.protected_peers_fd(), &key);
  }
  peers_ = wanted;
  std::atomic_ref(maps_.control().protect_peers).store(wanted.empty() ? 0 : 1);
  return {};
}

Status Protection::configure(const Protect& protect) {
  std::vector<chaos_prefix_key> wanted;
  for (const std::string& cidr : protect.cidrs) {
    auto prefix = Prefix::parse(cidr);
    if (!prefix) return with_context("protect.cidrs", prefix.error());
    wanted.push_back(prefix_key(*prefix));
  }
  configured_.reset();
  for (const PortRange& range : protect.ports) {
    for (unsigned port = range.first; port <= range.last; ++port) configured_.set(port);
  }
  write_ports();
  return write_peers(wanted);
}

Status Protection::refresh(std::chrono::nanoseconds max_age) {
  const auto now = system_clock().monotonic();
  if (last_look_ && now - *last_look_ < max_age) return {};
  auto listeners = find_ssh_listeners(sources_);
  if (!listeners) return std::unexpected(listeners.error());
  ssh_.reset();
  for (const std::uint16_t port : configured_ssh_ports(sources_)) ssh_.set(port);
  for (const SshListener& listener : *listeners) ssh_.set(listener.port);
  write_ports();
  last_look_ = now;
  return {};
}

Status Protection::protect_caller(pid_t pid) {
  auto flows = find_caller_flows(pid, sources_);
  if (!flows) return std::unexpected(flows.error());
  const std::uint8_t one = 1;
  for (const FlowTuple& flow : *flows) {
    chaos_tuple key{};
    std::memcpy(key.local_address, flow.local_address.data(), 16);
    std::memcpy(key.remote_address, flow.remote_address.data(), 16);
    key.local_port = flow.local_port;
    key.remote_port = flow.remote_port;
    if (bpf_map_update_elem(maps_.protected_flows_fd(), &key, &one, BPF_ANY) != 0) {
      return fail_errno("protect the caller's SSH connection");
    }
  }
  if (!flows->empty()) std::atomic_ref(maps_.control().protect_flows).store(1);
  return {};
}

}  // namespace chaos
