#include "api/unix_socket.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "api/identity.h"

namespace chaos {
namespace {

Result<UniqueFd> stream_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("socket(AF_UNIX)");
  return fd;
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path || path.find('\0') != std::string::npos) {
    return fail(Errc::kInvalid, "socket path \"" + path + "\" has " + std::to_string(path.size()) + " bytes", "socket",
                "1 to 107 bytes", "choose a shorter path");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

/// Removes what a dead daemon left at `path`. Only a refused connection proves that nobody listens there.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("stat " + path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Errc::kInvalid, path + " exists and is no socket", "socket", "a socket or nothing", "move it away");
  }
  auto probe = stream_socket();
  if (!probe) return std::unexpected(std::move(probe.error()));
  const bool answered = ::connect(probe->get(), generic(address), sizeof address) == 0;
  if (!answered && errno == ENOENT) return {};
  if (answered || errno != ECONNREFUSED) {
    return fail(Errc::kRefused, "somebody listens on " + path + " already", "socket", "one daemon a socket",
                "stop the other daemon, or choose another --socket or --runtime-dir");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("unlink " + path);
  return {};
}

Status set_access(const std::string& path, mode_t mode, const std::string& group) {
  constexpr mode_t kGroupBits = 070;
  const auto gid = RoleGroups::look_up(group, "").operate;
  if (gid && ::chown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) return fail_errno("chown " + path);
  if (::chmod(path.c_str(), gid ? mode : mode & ~kGroupBits) != 0) return fail_errno("chmod " + path);
  return {};
}

}  // namespace

UnixListener::UnixListener(UnixListener&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this != &other) {
    remove();
    fd_ = std::move(other.fd_);
    path_ = std::exchange(other.path_, {});
    device_ = other.device_;
    inode_ = other.inode_;
  }
  return *this;
}

UnixListener::~UnixListener() { remove(); }

void UnixListener::remove() {
  if (path_.empty()) return;
  struct stat info {};
  if (::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    (void)::unlink(path_.c_str());
  }
}

Result<UnixListener> UnixListener::adopt(UniqueFd fd) {
  const auto option = [&fd](int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return ::getsockopt(fd.get(), SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
  };
  if (option(SO_DOMAIN) != AF_UNIX || option(SO_TYPE) != SOCK_STREAM || option(SO_ACCEPTCONN) != 1) {
    return fail(Errc::kInvalid, "fd " + std::to_string(fd.get()) + " is no listening Unix stream socket", "socket",
                "ListenStream= with a path");
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0 || ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) < 0) {
    return fail_errno("fcntl of an inherited socket");
  }
  UnixListener listener;
  listener.fd_ = std::move(fd);
  return listener;
}

Result<UnixListener> bind_unix_socket(const std::string& path, mode_t mode, const std::string& group) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  if (auto status = remove_stale(path, *address); !status) return std::unexpected(std::move(status.error()));
  auto fd = stream_socket();
  if (!fd) return std::unexpected(std::move(fd.error()));
  // bind(2) gives the file the mode of the socket's own inode (unix_bind_bsd): closed to all until set_access().
  if (::fchmod(fd->get(), 0) != 0) return fail_errno("fchmod of a socket");
  if (::bind(fd->get(), generic(*address), sizeof *address) != 0) return fail_errno("bind " + path);

  UnixListener listener;
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno("stat " + path);
  listener.fd_ = std::move(*fd);
  listener.path_ = path;
  listener.device_ = info.st_dev;
  listener.inode_ = info.st_ino;
  if (auto status = set_access(path, mode, group); !status) return std::unexpected(std::move(status.error()));
  // The kernel caps the backlog at net.core.somaxconn. Clients over the limit wait here instead of being refused.
  if (::listen(listener.fd(), SOMAXCONN) != 0) return fail_errno("listen on " + path);
  return listener;
}

}  // namespace chaos
