#include "wait/wait_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/instance.h"
#include "base/unique_fd.h"
#include "bpf/wait_abi.h"
#include "kernel/mapped_array.h"
#include "load/messages.h"
#include "safety/heartbeat.h"
#include "wait/holder.h"
#include "wait/late_file.h"
#include "wait/wait_order.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// How often it looks whether it may go on.
constexpr nanoseconds kLook = 100ms;
constexpr nanoseconds kLookForHolder = 5ms;

class WaitServer {
 public:
  /// `pidfd` and `socket` must outlive it.
  WaitServer(int pidfd, int socket, Heartbeat heartbeat, LateFile file, WaitOrder order, Holder holder,
             MappedArray<chaos_waiting> waiting, MappedArray<chaos_wait> waits)
      : pidfd_(pidfd),
        socket_(socket),
        heartbeat_(std::move(heartbeat)),
        file_(std::move(file)),
        order_(std::move(order)),
        holder_(holder),
        waiting_(std::move(waiting)),
        waits_(std::move(waits)) {}

  int run() {
    nanoseconds next_look = 0ns;
    for (;;) {
      const nanoseconds due = end_those_due();
      const nanoseconds before = system_clock().monotonic();
      const nanoseconds pause = std::clamp(std::min(due, next_look) - before, 0ns, kLook);
      pollfd fds[3] = {{file_.fd(), POLLIN, 0}, {pidfd_, POLLIN, 0}, {socket_, POLLIN, 0}};
      const timespec time{0, static_cast<long>(pause.count())};
      (void)::ppoll(fds, 3, &time, nullptr);
      const nanoseconds now = system_clock().monotonic();
      holder_.page->server_seen_ns.store(static_cast<std::uint64_t>(now.count()));
      if (fds[1].revents != 0) return 0;
      if (fds[2].revents != 0 && !hear()) return 0;
      if (fds[0].revents != 0 && !take_requests()) return 1;
      if (now < next_look) continue;
      next_look = now + (told_ ? kLook : kLookForHolder);
      if (static_cast<std::uint64_t>(now.count()) >= heartbeat_.lease_until_ns().load()) return 0;
      if (!tell_when_ready()) return 1;
      end_those_killed();
    }
  }

 private:
  struct Held {
    std::uint64_t id = 0;  ///< 0: nobody waits here
    nanoseconds due{};
    pid_t thread = 0;
    bool signalled = false;
  };

  /// False if chaosd is gone.
  bool hear() {
    while (const auto message = load_message::receive(socket_)) {
      if (message->what == 0) return false;
    }
    return true;
  }

  [[nodiscard]] bool released() const { return std::atomic_ref(waiting_[0].released).load() != 0; }

  bool tell_when_ready() {
    if (told_) return true;
    if (const std::uint32_t error = holder_.page->failed.load(); error != 0) {
      const Status failed = fail_errno("open the file of waits", static_cast<int>(error));
      (void)load_message::send(socket_, load_message::kRefused, load_message::to_text(failed.error()));
      return false;
    }
    const std::uint64_t address = holder_.page->address.load();
    if (address == 0) return true;
    file_.close_mount();
    told_ =
        load_message::send(socket_, load_message::kReady, std::to_string(holder_.pid) + " " + std::to_string(address));
    return told_;
  }

  bool take_requests() {
    for (;;) {
      const auto request = file_.next();
      if (!request) return false;
      if (!*request) return true;
      if ((*request)->what == LateFile::Request::What::kSignalled) {
        const auto found = std::ranges::find(held_, (*request)->id, &Held::id);
        if (found != held_.end()) found->signalled = true;
      } else {
        hold(**request);
      }
    }
  }

  void hold(const LateFile::Request& request) {
    if (request.page >= order_.limit || held_[request.page].id != 0) {
      file_.answer(request.id);
      return;
    }
    chaos_wait& wait = waits_[request.page];
    const nanoseconds asked = wait_of(order_, std::atomic_ref(wait.number).load());
    const nanoseconds started(static_cast<std::int64_t>(std::atomic_ref(wait.started_ns).load()));
    std::atomic_ref(wait.requested_ns).store(static_cast<std::uint64_t>(asked.count()));
    std::atomic_ref(wait.outcome).store(CHAOS_WAIT_HELD);
    held_[request.page] = {.id = request.id,
                           .due = std::min(started + asked, system_clock().monotonic() + kLongestWait),
                           .thread = request.thread,
                           .signalled = false};
  }

  void end(std::size_t page, chaos_wait_outcome outcome) {
    std::atomic_ref(waits_[page].outcome).store(outcome);
    file_.answer(held_[page].id);
    held_[page] = {};
  }

  /// When the next one is.
  nanoseconds end_those_due() {
    const nanoseconds now = system_clock().monotonic();
    const bool all = released();
    nanoseconds next = nanoseconds::max();
    for (std::size_t page = 0; page < order_.limit; ++page) {
      if (held_[page].id == 0) continue;
      if (held_[page].due <= now) {
        end(page, CHAOS_WAIT_OVER);
      } else if (all) {
        end(page, CHAOS_WAIT_CUT);
      } else {
        next = std::min(next, held_[page].due);
      }
    }
    return next;
  }

  /// A signal alone ends no wait, as it ends no slow disk; SIGKILL does.
  void end_those_killed() {
    for (std::size_t page = 0; page < order_.limit; ++page) {
      if (held_[page].signalled && is_killed(held_[page].thread)) end(page, CHAOS_WAIT_CUT);
    }
  }

  /// By the mask of pending signals in /proc/PID/status (proc(5)); nothing is allocated for it.
  static bool is_killed(pid_t thread) {
    std::array<char, 32> path{};
    (void)std::snprintf(path.data(), path.size(), "/proc/%d/status", thread);
    const UniqueFd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4096> text{};
    if (!file.valid() || ::read(file.get(), text.data(), text.size() - 1) <= 0) return false;
    const char* found = std::strstr(text.data(), "SigPnd:");
    if (found == nullptr) return false;
    return (std::strtoull(found + std::strlen("SigPnd:"), nullptr, 16) >> (SIGKILL - 1) & 1) != 0;
  }

  const int pidfd_;
  const int socket_;
  Heartbeat heartbeat_;
  LateFile file_;
  const WaitOrder order_;
  const Holder holder_;
  MappedArray<chaos_waiting> waiting_;
  MappedArray<chaos_wait> waits_;
  std::array<Held, CHAOS_WAITS> held_{};
  bool told_ = false;
};

UniqueFd take(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
  return UniqueFd(fd);
}

/// Deaf to what stops chaosd, which ends it: it goes on while chaosd comes to its end.
void harden() {
  ::setsid();
  for (const int signo : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGPIPE})
    std::signal(signo, SIG_IGN);
  ::prctl(PR_SET_NAME, std::string(kWaitComm).c_str());
  // Timers of one nanosecond's slack, and not of 50 µs.
  ::prctl(PR_SET_TIMERSLACK, 1);
}

struct Given {
  UniqueFd pidfd = take(kWaitPidfd);
  UniqueFd heartbeat = take(kWaitHeartbeat);
  UniqueFd socket = take(kWaitSocket);
  UniqueFd waiting = take(kWaitWaiting);
  UniqueFd waits = take(kWaitWaits);
  [[nodiscard]] bool complete() const {
    return pidfd.valid() && heartbeat.valid() && socket.valid() && waiting.valid() && waits.valid();
  }
};

Result<std::unique_ptr<WaitServer>> set_up(Given& given, WaitOrder order) {
  if (order.limit == 0 || order.limit > CHAOS_WAITS) return fail(Errc::kInvalid, "no limit of waits");
  auto file = LateFile::create(order.limit);
  if (!file) return std::unexpected(file.error());
  // Before anything is mapped that it should not have.
  const auto holder = start_holder(file->mount_fd(), order.limit);
  if (!holder) return std::unexpected(holder.error());
  auto heartbeat = Heartbeat::open(std::move(given.heartbeat));
  if (!heartbeat) return std::unexpected(heartbeat.error());
  auto waiting = MappedArray<chaos_waiting>::map(given.waiting.get(), 1);
  auto waits = MappedArray<chaos_wait>::map(given.waits.get(), CHAOS_WAITS);
  if (!waiting) return std::unexpected(waiting.error());
  if (!waits) return std::unexpected(waits.error());
  ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  return std::make_unique<WaitServer>(given.pidfd.get(), given.socket.get(), std::move(*heartbeat), std::move(*file),
                                      std::move(order), *holder, std::move(*waiting), std::move(*waits));
}

}  // namespace

int run_wait_server(int argc, char** argv) {
  // Before anything else: from here on it does not outlive the thread that started it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Given given;
  if (argc < 4 || !given.complete()) {
    std::fprintf(stderr, "chaosd wait-server: chaosd starts it, nobody else does\n");
    return 2;
  }
  (void)::close_range(kWaitWaits + 1, std::numeric_limits<unsigned>::max(), 0);
  harden();
  auto order = order_of(std::span(argv + 4, static_cast<std::size_t>(argc - 4)));
  auto server = order ? set_up(given, std::move(*order)) : std::unexpected(order.error());
  if (!server) {
    (void)load_message::send(given.socket.get(), load_message::kRefused, load_message::to_text(server.error()));
    return 1;
  }
  const int code = (*server)->run();
  ::_exit(code);
}

}  // namespace chaos
