#include "fault/load_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>

#include "base/spawn.h"
#include "load/messages.h"
#include "load/worker.h"

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kAnswerWithin{5000};
constexpr std::chrono::milliseconds kGoneWithin{10000};

/// True once the descriptor can be read.
bool readable(int fd, std::chrono::milliseconds patience) {
  pollfd waited{fd, POLLIN, 0};
  return ::poll(&waited, 1, static_cast<int>(patience.count())) > 0;
}

Status put_into(const std::filesystem::path& cgroup, pid_t pid) {
  std::ofstream procs(cgroup / "cgroup.procs");
  procs << pid << std::flush;
  if (procs) return {};
  return fail_errno(fmt::format("put a load worker into {}", cgroup.string()));
}

}  // namespace

Result<LoadGround> LoadGround::create(const Heartbeat& heartbeat, std::string_view instance) {
  UniqueFd pidfd(::pidfd_open(::getpid(), 0));
  if (!pidfd.valid()) return fail_errno("open a pidfd of chaosd");
  return LoadGround{std::move(pidfd), heartbeat, std::string(instance)};
}

Result<std::unique_ptr<LoadProcess>> LoadProcess::start(const LoadGround& ground, const LoadOrder& order) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return fail_errno("make a socket pair");
  std::unique_ptr<LoadProcess> process(new LoadProcess());
  process->socket_.reset(pair[0]);
  const UniqueFd other(pair[1]);
  std::vector<std::string> words{"chaosd-load", kLoadWorkerVerb, "--instance", ground.instance};
  words.insert(words.end(), order.arguments.begin(), order.arguments.end());
  const auto pid = spawn_self(std::move(words), {ground.pidfd.get(), ground.heartbeat.fd(), other.get()});
  if (!pid) return std::unexpected(pid.error());
  process->pid_ = *pid;
  process->pidfd_.reset(::pidfd_open(*pid, 0));
  if (!process->pidfd_.valid()) {
    // Not reaped yet, so the number is still its own.
    const auto error = fail_errno("open a pidfd of a load worker");
    ::kill(*pid, SIGKILL);
    (void)::waitpid(*pid, nullptr, 0);
    return error;
  }
  if (Status status = process->prepare(order); !status) return std::unexpected(status.error());
  return process;
}

Status LoadProcess::prepare(const LoadOrder& order) {
  for (const auto& cgroup : order.cgroups) {
    if (Status status = put_into(cgroup, pid_); !status) return status;
  }
  if (!load_message::send(socket_.get(), load_message::kPrepare) || !readable(socket_.get(), kAnswerWithin)) {
    return fail(Errc::kUnavailable, "a load worker does not answer", {}, {},
                "is its cgroup frozen, or the host short of CPU time?");
  }
  const auto answer = load_message::receive(socket_.get());
  if (answer && answer->what == load_message::kReady) return {};
  if (answer && answer->what == load_message::kRefused) return std::unexpected(load_message::error_of(answer->text));
  return fail(Errc::kUnavailable, "a load worker has ended before it began");
}

Status LoadProcess::go(std::chrono::nanoseconds until) {
  if (!gone_ && load_message::send(socket_.get(), load_message::kGo, std::to_string(until.count()))) return {};
  return fail(Errc::kUnavailable, "a load worker has ended before it began");
}

bool LoadProcess::poll() {
  for (;;) {
    const auto message = load_message::receive(socket_.get());
    if (!message || message->what == 0) break;
    if (message->what == load_message::kFigures) figures_ = load_message::figures_of(message->text);
    if (message->what == load_message::kRemark) remarks_.push_back(message->text);
  }
  if (!gone_ && readable(pidfd_.get(), std::chrono::milliseconds(0))) reap();
  return !gone_;
}

Status LoadProcess::end() {
  if (gone_ || !pidfd_.valid()) return {};
  (void)poll();
  if (gone_) return {};
  (void)::pidfd_send_signal(pidfd_.get(), SIGKILL, nullptr, 0);
  if (!readable(pidfd_.get(), kGoneWithin)) {
    return fail(Errc::kInternal, fmt::format("load worker {} does not end: is its cgroup frozen?", pid_));
  }
  reap();
  wait_status_ = 0;
  return {};
}

void LoadProcess::reap() {
  (void)::waitpid(pid_, &wait_status_, 0);
  gone_ = true;
}

std::string LoadProcess::mishap() const {
  if (!gone_ || wait_status_ == 0) return {};
  if (!WIFSIGNALED(wait_status_)) return fmt::format("it ended with exit code {}", WEXITSTATUS(wait_status_));
  return fmt::format("signal {} ended it{}", WTERMSIG(wait_status_),
                     WTERMSIG(wait_status_) == SIGKILL ? ": the kernel for want of memory, or somebody else" : "");
}

}  // namespace chaos
