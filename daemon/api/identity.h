// Identity: who is on the other end of a Unix socket, and which role that gives. Loop thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"
#include "plan/scenario.h"

namespace chaos {

enum class Role : std::uint8_t { kNone, kView, kOperate };  ///< each includes the ones before it
[[nodiscard]] std::string_view to_string(Role role);

/// The groups that grant roles. uid 0 always operates; an empty gid grants nobody.
struct RoleGroups {
  std::optional<gid_t> operate;
  std::optional<gid_t> view;

  /// Looks the names up: /etc/group first, so that a reload under a network fault does not hang in a directory
  /// service, then NSS. A name that does not exist is not an error.
  static RoleGroups look_up(const std::string& operate_group, const std::string& view_group);
};

struct Peer {
  Caller caller;
  std::vector<gid_t> groups;  ///< supplementary
};

/// Reads SO_PEERCRED and SO_PEERGROUPS (unix(7); the former has the primary group only), login uid and comm from
/// `proc`. The user's name comes from /etc/passwd alone, else it is the number: a directory service must not be able
/// to block the loop of a daemon that breaks networks. login uid and comm stay empty if the process has gone.
[[nodiscard]] Result<Peer> identify_peer(int fd, const std::filesystem::path& proc = "/proc");

[[nodiscard]] Role role_of(const Peer& peer, const RoleGroups& groups);

}  // namespace chaos
