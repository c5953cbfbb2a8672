// Protected traffic that must be found out: where sshd really listens, and the connection that the caller came in by.
// Reads /proc and sshd's configuration; keeps nothing open. Blocks (tens of ms on a busy host): planner thread only.
#pragma once

#include <sys/types.h>

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <vector>

#include "base/result.h"

namespace chaos {

/// One TCP connection as this host sees it. IPv4 is held as v4-mapped IPv6; bytes in network order, ports in host
/// order.
struct FlowTuple {
  std::array<std::uint8_t, 16> local_address{};
  std::uint16_t local_port = 0;
  std::array<std::uint8_t, 16> remote_address{};
  std::uint16_t remote_port = 0;
  friend auto operator<=>(const FlowTuple&, const FlowTuple&) = default;
};

struct SshListener {
  std::uint64_t netns = 0;  ///< inode of the network namespace
  std::uint16_t port = 0;
  friend auto operator<=>(const SshListener&, const SshListener&) = default;
};

struct ProtectedTraffic {
  std::set<std::uint16_t> ssh_ports;  ///< always has 22
  std::vector<FlowTuple> flows;       ///< sorted, each once
};

/// Where to look; the defaults are the host's.
struct ProtectedSources {
  std::filesystem::path proc = "/proc";
  std::filesystem::path ssh_dir = "/etc/ssh";  ///< sshd_config and sshd_config.d/*.conf
  /// Where ssh.socket and sshd.socket with their .d directories may be.
  std::vector<std::filesystem::path> unit_dirs = {"/etc/systemd/system", "/run/systemd/system",
                                                  "/usr/lib/systemd/system", "/lib/systemd/system"};
};

/// TCP ports on which a process whose comm or executable is sshd listens, in every network namespace. Needs
/// CAP_SYS_PTRACE to see other users' sockets. Processes that vanish meanwhile are passed over. Error: kInternal if
/// the process list or the sockets of an sshd that is there cannot be read: then nobody knows what to protect.
[[nodiscard]] Result<std::set<SshListener>> find_ssh_listeners(const ProtectedSources& sources);

/// Ports that sshd's configuration (`Port`, `ListenAddress HOST:PORT`) and its socket units (`ListenStream=`) name,
/// and always 22: with socket activation nothing but PID 1 holds the listening socket. Never fails.
[[nodiscard]] std::set<std::uint16_t> configured_ssh_ports(const ProtectedSources& sources);

/// Established TCP connections of `pid` and its ancestors as far as their comm begins with "sshd" (sshd, sshd-session):
/// the SSH connection by which `pid` works. Empty, and cheap, if there is no such ancestor. Error: kInternal if an
/// sshd ancestor's connections cannot be read.
[[nodiscard]] Result<std::vector<FlowTuple>> find_caller_flows(pid_t pid, const ProtectedSources& sources);

/// All of the above, for traffic in any namespace. `caller` empty: no connection of a caller.
[[nodiscard]] Result<ProtectedTraffic> find_protected_traffic(std::optional<pid_t> caller,
                                                              const ProtectedSources& sources = {});

}  // namespace chaos
