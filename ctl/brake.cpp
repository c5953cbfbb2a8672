#include "ctl/brake.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "base/units.h"
#include "ctl/json_text.h"
#include "ctl/local.h"
#include "kernel/processes.h"

namespace chaos::ctl {
namespace {

constexpr std::string_view kDefaultStateDir = "/var/lib/chaosd";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path proc_file(pid_t pid, std::string_view name) { return fmt::format("/proc/{}/{}", pid, name); }

bool is_chaosd(pid_t pid) {
  std::error_code error;
  std::string exe = std::filesystem::read_symlink(proc_file(pid, "exe"), error).string();
  // What the kernel appends once a package update has replaced the binary.
  constexpr std::string_view kDeleted = " (deleted)";
  if (exe.ends_with(kDeleted)) exe.resize(exe.size() - kDeleted.size());
  return std::filesystem::path(exe).filename() == "chaosd";
}

std::optional<std::filesystem::path> state_dir_of(pid_t pid) {
  const std::string line = read_file(proc_file(pid, "cmdline"));
  constexpr std::string_view kOption = "--state-dir";
  for (std::size_t at = 0; at < line.size();) {
    const std::string_view word = line.c_str() + at;
    at += word.size() + 1;
    if (word.starts_with(kOption) && word.substr(kOption.size()).starts_with('=')) {
      return std::filesystem::path(word.substr(kOption.size() + 1));
    }
    if (word == kOption && at < line.size()) return std::filesystem::path(line.c_str() + at);
  }
  return std::nullopt;
}

/// The pidfd first: if pid and start time still fit afterwards, it is that process's.
Result<RunningDaemon> identify(pid_t pid, std::optional<std::uint64_t> expected_start, std::string found_by) {
  UniqueFd pidfd(::pidfd_open(pid, 0));
  if (!pidfd.valid()) {
    if (errno == ESRCH || errno == EINVAL) return fail(Errc::kNotFound, "no such process");
    return fail_errno(fmt::format("open a pidfd of {}", pid));
  }
  if (expected_start && start_ticks(pid) != expected_start) {
    return fail(Errc::kNotFound, fmt::format("pid {} is another process by now", pid));
  }
  if (!is_chaosd(pid)) return fail(Errc::kNotFound, fmt::format("pid {} is not chaosd", pid));
  return RunningDaemon{pid, std::move(pidfd), std::move(found_by), state_dir_of(pid)};
}

Result<RunningDaemon> find_by_pid_file(const std::filesystem::path& file) {
  std::istringstream text(read_file(file));
  pid_t pid = 0;
  std::uint64_t ticks = 0;
  if (!(text >> pid >> ticks) || pid <= 0) return fail(Errc::kNotFound, fmt::format("no pid in {}", file.string()));
  return identify(pid, ticks, "the pid file");
}

/// A stopped process still listens, and the kernel still says who it is (SO_PEERCRED, unix(7)).
Result<RunningDaemon> find_by_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return fail(Errc::kNotFound, "no socket to ask");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return fail(Errc::kNotFound, "nobody listens on " + path);
    return fail_errno("connect to " + path);
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail_errno("ask who listens");
  auto daemon = identify(peer.pid, std::nullopt, "the socket's listener");
  // Somebody does listen, so "none is running" would be wrong (systemd itself, say, before the first connection).
  if (!daemon && daemon.error().code == Errc::kNotFound) {
    return fail(Errc::kInternal, fmt::format("{} is held by pid {}, which is not chaosd", path, peer.pid));
  }
  return daemon;
}

BrakeStep write_stop_file(const std::filesystem::path& runtime_dir, const std::string& reason) {
  const std::filesystem::path file = runtime_dir / "STOP";
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  const std::string text = reason + "\n";
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return {"stop file", false, fail_errno("write " + file.string()).error().message};
  }
  return {"stop file", true, "wrote " + file.string()};
}

BrakeStep kill_daemon(const RunningDaemon& daemon) {
  if (::pidfd_send_signal(daemon.pidfd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return {"daemon", false, fail_errno(fmt::format("kill pid {}", daemon.pid)).error().message};
  }
  pollfd waited{daemon.pidfd.get(), POLLIN, 0};
  const auto limit = static_cast<int>(std::chrono::milliseconds(kKillTimeout).count());
  int ready = 0;
  do {
    ready = ::poll(&waited, 1, limit);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) {
    return {"daemon", false,
            fmt::format("sent SIGKILL to pid {}, but it has not ended after {}; its faults fall silent with the lease "
                        "all the same (1s)",
                        daemon.pid, format_duration(kKillTimeout))};
  }
  return {
      "daemon", true,
      fmt::format("killed pid {} (found by {}); the kernel has removed its BPF objects", daemon.pid, daemon.found_by)};
}

/// What the kernel does not take back by itself. The guardian does the same; who comes second finds nothing to do.
BrakeStep undo_changes(const std::filesystem::path& runtime_dir, BrakeReport& report) {
  const Outcome<Json> replay = replay_journal(runtime_dir, false);
  if (!replay) {
    report.stopped = false;
    return {"undo", false, text_of(replay.error().document, "detail")};
  }
  const std::size_t changes = list_at(*replay, "changes").size();
  if (!flag_at(*replay, "complete")) {
    report.stopped = false;
    return {"undo", false, "not all of it; chaosctl undo --dry-run tells what is left"};
  }
  return {"undo", true, changes == 0 ? "nothing on record" : fmt::format("{} changes of the journal settled", changes)};
}

}  // namespace

Result<RunningDaemon> find_daemon(const std::filesystem::path& runtime_dir, const std::string& socket) {
  auto daemon = find_by_pid_file(runtime_dir / "chaosd.pid");
  if (daemon || daemon.error().code != Errc::kNotFound) return daemon;
  return find_by_socket(socket);
}

BrakeReport pull_brake(const BrakeScope& scope) {
  BrakeReport report;
  report.steps.push_back(write_stop_file(scope.runtime_dir, scope.reason));

  std::filesystem::path state_dir = scope.state_dir;
  const auto daemon = find_daemon(scope.runtime_dir, scope.socket);
  if (daemon) {
    if (state_dir.empty() && daemon->state_dir) state_dir = *daemon->state_dir;
    const BrakeStep& step = report.steps.emplace_back(kill_daemon(*daemon));
    report.stopped = step.done;
    if (step.done) report.killed = daemon->pid;
  } else if (daemon.error().code == Errc::kNotFound) {
    report.stopped = true;
    report.steps.push_back({"daemon", true, "none is running: " + daemon.error().message});
  } else {
    report.steps.push_back({"daemon", false, daemon.error().message});
  }

  if (report.stopped) report.steps.push_back(undo_changes(scope.runtime_dir, report));

  if (state_dir.empty()) state_dir = kDefaultStateDir;
  const Status latched = engage_latch(state_dir, scope.reason);
  report.steps.push_back(
      {"latch", latched.has_value(),
       latched ? "engaged in " + state_dir.string() + ": nothing starts until rearm" : latched.error().message});
  report.held = report.steps.front().done || latched.has_value();
  return report;
}

}  // namespace chaos::ctl
