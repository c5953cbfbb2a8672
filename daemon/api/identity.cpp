#include "api/identity.h"

#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>

#include "base/unique_fd.h"
#include "base/units.h"

namespace chaos {
namespace {

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5, asm-generic/socket.h
#endif

struct CloseFile {
  void operator()(FILE* file) const { (void)std::fclose(file); }
};
using File = std::unique_ptr<FILE, CloseFile>;

constexpr std::size_t kEntryBuffer = 16 * 1024;

/// Calls `read(buffer)`, with a larger one as long as it answers ERANGE (glibc then stands before the same entry
/// again).
template <class Read>
int with_room(std::vector<char>& buffer, Read read) {
  constexpr std::size_t kMost = 16 * 1024 * 1024;
  while (true) {
    const int rc = read(buffer);
    if (rc != ERANGE || buffer.size() >= kMost) return rc;
    buffer.resize(buffer.size() * 2);
  }
}

std::optional<gid_t> gid_from_file(const std::string& name) {
  const File file(std::fopen("/etc/group", "re"));
  if (file == nullptr) return std::nullopt;
  std::vector<char> buffer(kEntryBuffer);
  group entry{};
  group* found = nullptr;
  const auto next = [&](std::vector<char>& to) {
    return ::fgetgrent_r(file.get(), &entry, to.data(), to.size(), &found);
  };
  while (with_room(buffer, next) == 0) {
    if (name == entry.gr_name) return entry.gr_gid;
  }
  return std::nullopt;
}

std::optional<gid_t> gid_of_group(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (const auto gid = gid_from_file(name)) return gid;
  std::vector<char> buffer(kEntryBuffer);
  group entry{};
  group* found = nullptr;
  const auto find = [&](std::vector<char>& to) {
    return ::getgrnam_r(name.c_str(), &entry, to.data(), to.size(), &found);
  };
  if (with_room(buffer, find) != 0 || found == nullptr) return std::nullopt;
  return found->gr_gid;
}

std::string user_name(uid_t uid) {
  if (const File file{std::fopen("/etc/passwd", "re")}; file != nullptr) {
    std::vector<char> buffer(kEntryBuffer);
    passwd entry{};
    passwd* found = nullptr;
    const auto next = [&](std::vector<char>& to) {
      return ::fgetpwent_r(file.get(), &entry, to.data(), to.size(), &found);
    };
    while (with_room(buffer, next) == 0) {
      if (entry.pw_uid == uid) return entry.pw_name;
    }
  }
  return std::to_string(uid);
}

std::string first_line(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

Result<std::vector<gid_t>> supplementary_groups(int fd) {
  std::vector<gid_t> groups(64);
  while (true) {
    auto length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) == 0) {
      groups.resize(length / sizeof(gid_t));
      return groups;
    }
    // ERANGE: the kernel has put the size that it needs into length.
    if (errno != ERANGE || length <= groups.size() * sizeof(gid_t)) return fail_errno("SO_PEERGROUPS");
    groups.resize(length / sizeof(gid_t));
  }
}

/// login uid and comm, unless the pid may have come to mean another process meanwhile. Before Linux 6.5 that cannot be
/// told: there the record rests on the caller's living until its request is in.
void describe_process(int fd, const std::filesystem::path& proc, Caller& caller) {
  int raw_pidfd = -1;
  socklen_t length = sizeof raw_pidfd;
  const bool have_pidfd = ::getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &raw_pidfd, &length) == 0;
  const UniqueFd pidfd(have_pidfd ? raw_pidfd : -1);

  const auto folder = proc / std::to_string(caller.pid);
  std::string comm = first_line(folder / "comm");
  const auto login = parse_unsigned(first_line(folder / "loginuid"));
  if (have_pidfd) {
    pollfd exited{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&exited, 1, 0) != 0) return;
  }
  caller.comm = std::move(comm);
  constexpr std::uint64_t kUnset = 4294967295;
  if (login && *login < kUnset) caller.login_uid = static_cast<uid_t>(*login);
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kNone:
      return "none";
    case Role::kView:
      return "view";
    case Role::kOperate:
      return "operate";
  }
  return "none";
}

RoleGroups RoleGroups::look_up(const std::string& operate_group, const std::string& view_group) {
  return {.operate = gid_of_group(operate_group), .view = gid_of_group(view_group)};
}

Result<Peer> identify_peer(int fd, const std::filesystem::path& proc) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return fail_errno("SO_PEERCRED");
  auto groups = supplementary_groups(fd);
  if (!groups) return std::unexpected(std::move(groups.error()));

  Peer peer;
  peer.caller.uid = credentials.uid;
  peer.caller.gid = credentials.gid;
  peer.caller.pid = credentials.pid;
  peer.caller.user = user_name(credentials.uid);
  peer.groups = std::move(*groups);
  describe_process(fd, proc, peer.caller);
  return peer;
}

Role role_of(const Peer& peer, const RoleGroups& groups) {
  const auto member = [&peer](std::optional<gid_t> gid) {
    return gid && (peer.caller.gid == *gid || std::ranges::find(peer.groups, *gid) != peer.groups.end());
  };
  if (peer.caller.uid == 0 || member(groups.operate)) return Role::kOperate;
  return member(groups.view) ? Role::kView : Role::kNone;
}

}  // namespace chaos
