#include "place.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <fstream>

#include "kernel/processes.h"

namespace chaos {
namespace {

constexpr mode_t kSocketMode = 0660;

Status make_directory(const std::filesystem::path& path, std::filesystem::perms mode) {
  std::error_code err;
  const bool made = std::filesystem::create_directories(path, err);
  if (err) return fail(Errc::kInternal, "make directory " + path.string() + ": " + err.message());
  if (made) std::filesystem::permissions(path, mode, err);
  return {};
}

std::string socket_path(int fd) {
  sockaddr_un address{};
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return address.sun_path;
}

Result<std::vector<NamedListener>> activated_sockets(const Options& options) {
  std::vector<NamedListener> sockets;
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  if (count < 0) return fail_errno("take sockets from systemd", -count);
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    const std::string name = names != nullptr ? names[i] : "";
    const std::string path = socket_path(fd);
    const bool view = name == "chaosd-view" || path.ends_with("-view.sock") || path == options.view_socket();
    auto listener = UnixListener::adopt(UniqueFd(fd));
    if (!listener) return with_context("socket " + path + " from systemd", listener.error());
    sockets.push_back({std::move(*listener), path, view});
  }
  for (int i = 0; i < count && names != nullptr; ++i) std::free(names[i]);  // NOLINT: libsystemd's contract
  std::free(names);                                                         // NOLINT: libsystemd's contract
  return sockets;
}

}  // namespace

Result<Place> Place::take(const Options& options) {
  using std::filesystem::perms;
  Status made = make_directory(options.runtime_dir, perms(0755));
  if (made) made = make_directory(options.state_dir, perms(0700));
  if (!made) return std::unexpected(made.error());
  const auto lock_file = options.runtime_dir / "lock";
  UniqueFd lock(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return fail_errno("open " + lock_file.string());
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Errc::kRefused, "another chaosd runs in " + options.runtime_dir.string(), {}, {},
                "stop it, or give this one its own --runtime-dir, --state-dir and --instance");
  }
  Place place(std::move(lock));
  std::ofstream file(options.pid_file(), std::ios::trunc);
  // With its start, the number of a process is an identity.
  file << getpid() << ' ' << start_ticks(getpid()).value_or(0) << '\n';
  file.close();
  if (!file) return fail(Errc::kInternal, "write " + options.pid_file().string());
  place.pid_file_ = options.pid_file();
  return place;
}

Place::~Place() {
  std::error_code ignored;
  if (lock_.valid() && !pid_file_.empty()) std::filesystem::remove(pid_file_, ignored);
}

Result<std::vector<NamedListener>> open_sockets(const Options& options, const Api& api) {
  auto sockets = activated_sockets(options);
  if (!sockets || !sockets->empty()) return sockets;
  struct Wanted {
    std::filesystem::path path;
    const std::string& group;
    bool view_only;
  };
  for (const Wanted& wanted : {Wanted{options.operate_socket(), api.operate_group, false},
                               Wanted{options.view_socket(), api.view_group, true}}) {
    auto listener = bind_unix_socket(wanted.path.string(), kSocketMode, wanted.group);
    if (!listener) return std::unexpected(listener.error());
    sockets->push_back({std::move(*listener), wanted.path.string(), wanted.view_only});
  }
  return sockets;
}

}  // namespace chaos
