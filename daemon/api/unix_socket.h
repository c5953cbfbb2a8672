// Listening Unix sockets, inherited or made here. Any thread.
#pragma once

#include <string>

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

/// A bound and listening AF_UNIX stream socket. One that was made here is unlinked at the end, unless somebody else
/// has put another in its place.
class UnixListener {
 public:
  /// From socket activation (sd_listen_fds). Error: kInvalid if `fd` is not a listening Unix stream socket.
  static Result<UnixListener> adopt(UniqueFd fd);

  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  ~UnixListener();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }  ///< empty for adopted ones

 private:
  friend Result<UnixListener> bind_unix_socket(const std::string& path, mode_t mode, const std::string& group);
  UnixListener() = default;
  void remove();

  UniqueFd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

/// Makes a socket at `path` (107 bytes at most) with `mode` and `group`; without such a group (or with "") it keeps
/// the group of the process, and the mode loses its group bits. A stale socket is replaced; the directory must exist.
/// Errors: kRefused if somebody answers there, kInvalid if the path is too long or no socket, kInternal.
[[nodiscard]] Result<UnixListener> bind_unix_socket(const std::string& path, mode_t mode, const std::string& group);

}  // namespace chaos
