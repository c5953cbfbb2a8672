// The daemon's places on the host: its directories, the lock that keeps a second instance out, the pid file by which
// chaosctl's own brake finds it, and its sockets. Before the loop runs.
#pragma once

#include <string>
#include <vector>

#include "api/unix_socket.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "config/config.h"
#include "options.h"

namespace chaos {

/// Held for the daemon's life; removes the pid file at the end.
class Place {
 public:
  /// Makes the directories (0755 and 0700), takes the lock, writes the pid file "PID STARTTIME". Errors: kRefused if
  /// another chaosd holds the runtime directory.
  static Result<Place> take(const Options& options);
  Place(Place&&) noexcept = default;
  Place& operator=(Place&&) noexcept = default;
  ~Place();

 private:
  explicit Place(UniqueFd lock) : lock_(std::move(lock)) {}
  UniqueFd lock_;
  std::filesystem::path pid_file_;
};

struct NamedListener {
  UnixListener listener;
  std::string name;
  bool view_only;
};

/// The two sockets: from systemd (sd_listen_fds, told apart by path or FileDescriptorName=chaosd-view) or made here.
[[nodiscard]] Result<std::vector<NamedListener>> open_sockets(const Options& options, const Api& api);

}  // namespace chaos
