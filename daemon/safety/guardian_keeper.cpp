#include "safety/guardian_keeper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <array>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/spawn.h"
#include "safety/guardian.h"

namespace chaos {
namespace {

/// Between a death and the next start: a guardian that dies at once must not become a busy loop.
constexpr std::chrono::milliseconds kRetry{200};
/// How often it is looked at, and for how long it may not have come round (it does five times a second, but not while
/// it undoes).
constexpr std::chrono::seconds kLook{1};
/// What the guardian finds its descriptors under, in the order in which it is given them.
constexpr int kGuardianPidfd = 3;
constexpr int kGuardianHeartbeat = 4;
constexpr int kGuardianReady = 5;

}  // namespace

GuardianKeeper::GuardianKeeper(EventLoop& loop, const Heartbeat& heartbeat, UndoJournal& journal, Place place,
                               std::function<void(pid_t)> on_change)
    : loop_(loop),
      heartbeat_(heartbeat),
      journal_(journal),
      place_(std::move(place)),
      on_change_(std::move(on_change)) {}

GuardianKeeper::~GuardianKeeper() = default;

Result<std::unique_ptr<GuardianKeeper>> GuardianKeeper::start(EventLoop& loop, const Heartbeat& heartbeat,
                                                              UndoJournal& journal, Place place,
                                                              std::function<void(pid_t)> on_change) {
  std::unique_ptr<GuardianKeeper> keeper(
      new GuardianKeeper(loop, heartbeat, journal, std::move(place), std::move(on_change)));
  keeper->own_pidfd_.reset(::pidfd_open(::getpid(), 0));
  if (!keeper->own_pidfd_.valid()) return fail_errno("open a pidfd of chaosd");
  if (Status status = keeper->spawn(); !status) return std::unexpected(status.error());
  auto looks = loop.add_timer(kLook, [raw = keeper.get()] { raw->look(); });
  if (!looks) return std::unexpected(looks.error());
  keeper->looks_ = std::move(*looks);
  return keeper;
}

Status GuardianKeeper::spawn() {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("make the guardian's pipe");
  ready_pipe_.reset(pipe[0]);
  const UniqueFd write_end(pipe[1]);
  heartbeat_.guardian_seen_ns().store(0);
  spawned_ = system_clock().monotonic();
  late_ = false;
  // An exec'ed child: one that shared chaosd's descriptors would keep its faults alive (KERNEL).
  const auto pid =
      spawn_self({"chaosd-guardian", kGuardianVerb, "--pidfd", std::to_string(kGuardianPidfd), "--heartbeat",
                  std::to_string(kGuardianHeartbeat), "--ready", std::to_string(kGuardianReady), "--runtime-dir",
                  place_.runtime_dir.string(), "--instance", place_.instance},
                 {own_pidfd_.get(), heartbeat_.fd(), write_end.get()});
  if (!pid) return std::unexpected(pid.error());
  pid_.store(*pid);
  pidfd_.reset(::pidfd_open(*pid, 0));
  if (!pidfd_.valid()) return fail_errno("open a pidfd of the guardian");
  auto death = loop_.add_io(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { died(); });
  auto readiness = loop_.add_io(ready_pipe_.get(), EPOLLIN, [this](std::uint32_t) { became_ready(); });
  if (!death) return std::unexpected(death.error());
  if (!readiness) return std::unexpected(readiness.error());
  death_ = std::move(*death);
  readiness_ = std::move(*readiness);
  return {};
}

void GuardianKeeper::became_ready() {
  char byte = 0;
  const bool ready = ::read(ready_pipe_.get(), &byte, 1) == 1;
  readiness_.reset();
  ready_pipe_.reset();
  if (!ready) return;  // its death is told by the pidfd
  rely(true);
}

void GuardianKeeper::rely(bool on) {
  if (ready_ == on) return;
  ready_ = on;
  journal_.set_guarded(on);
  on_change_(pid());
}

// Killed after two late looks in a row: when chaosd itself was held up (a stop signal, a frozen unit), the guardian
// may have been as well, and one look says nothing.
void GuardianKeeper::look() {
  looks_->rearm(kLook);
  if (!pidfd_.valid()) return;  // dead: it is started again by died()
  const bool starting = readiness_ != nullptr;
  const std::chrono::nanoseconds seen(heartbeat_.guardian_seen_ns().load());
  const bool late = system_clock().monotonic() - (starting ? spawned_ : seen) > kLook;
  if (!late) {
    late_ = false;
    if (!starting) rely(true);
    return;
  }
  rely(false);
  if (!std::exchange(late_, true)) return;
  spdlog::error("the guardian (pid {}) {}; it is killed and started again", pid_.load(),
                starting ? "does not become ready" : "does not come round any more");
  (void)::pidfd_send_signal(pidfd_.get(), SIGKILL, nullptr, 0);
}

void GuardianKeeper::died() {
  int status = 0;
  (void)::waitpid(pid_, &status, WNOHANG);
  spdlog::error("the guardian (pid {}) has died ({}); it is started again", pid_.load(),
                WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                    : fmt::format("exit code {}", WEXITSTATUS(status)));
  readiness_.reset();
  pidfd_.reset();
  death_.reset();
  rely(false);
  auto retry = loop_.add_timer(kRetry, [this] {
    if (const Status spawned = spawn(); !spawned) {
      spdlog::error("{}", spawned.error().message);
      retry_->rearm(kRetry);
    }
  });
  if (retry) retry_ = std::move(*retry);
}

}  // namespace chaos
