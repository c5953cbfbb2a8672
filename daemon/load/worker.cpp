#include "load/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/instance.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "load/job.h"
#include "load/messages.h"
#include "safety/heartbeat.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// How often it looks whether it may go on.
constexpr nanoseconds kLook = 50ms;
constexpr nanoseconds kTell = 200ms;

class LoadWorker {
 public:
  LoadWorker(UniqueFd pidfd, UniqueFd socket, Heartbeat heartbeat, JobArguments arguments)
      : pidfd_(std::move(pidfd)),
        socket_(std::move(socket)),
        heartbeat_(std::move(heartbeat)),
        arguments_(std::move(arguments)) {}

  int run() {
    nanoseconds next_step = 0ns;
    nanoseconds next_report = 0ns;
    for (;;) {
      const nanoseconds now = system_clock().monotonic();
      const nanoseconds wait = acting_ ? std::clamp<nanoseconds>(next_step - now, 0ns, kLook) : kLook;
      if (const auto code = look(wait)) return *code;
      if (!acting_ || system_clock().monotonic() < next_step) continue;
      const nanoseconds pause = job_->step();
      next_step = system_clock().monotonic() + pause;
      if (system_clock().monotonic() < next_report) continue;
      report();
      next_report = system_clock().monotonic() + kTell;
    }
  }

 private:
  /// Waits for what chaosd says. The exit code if it is time to go.
  std::optional<int> look(nanoseconds wait) {
    pollfd fds[2] = {{pidfd_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    const timespec time{0, static_cast<long>(wait.count())};
    (void)::ppoll(fds, 2, &time, nullptr);
    if (fds[0].revents != 0) return 0;
    const auto now = static_cast<std::uint64_t>(system_clock().monotonic().count());
    if (now >= heartbeat_.lease_until_ns().load()) return 0;
    if (deadline_ && system_clock().boottime() >= *deadline_) return 0;
    if (fds[1].revents == 0) return std::nullopt;
    const auto message = load_message::receive(socket_.get());
    if (!message) return std::nullopt;
    if (message->what == load_message::kPrepare && !job_) return prepare();
    if (message->what == load_message::kGo && job_ && !acting_) return go(message->text);
    return message->what == 0 ? 0 : 1;
  }

  std::optional<int> prepare() {
    auto job = make_load_job(arguments_);
    if (!job) {
      (void)load_message::send(socket_.get(), load_message::kRefused, load_message::to_text(job.error()));
      return 1;
    }
    job_ = std::move(*job);
    (void)load_message::send(socket_.get(), load_message::kReady);
    return std::nullopt;
  }

  std::optional<int> go(const std::string& text) {
    const auto until = parse_unsigned(text);
    if (!until) return 1;
    deadline_ = nanoseconds(*until);
    acting_ = true;
    job_->begin();
    return std::nullopt;
  }

  void report() {
    (void)load_message::send(socket_.get(), load_message::kFigures, load_message::to_text(job_->figures()));
    const std::string remark = job_->remark();
    if (remark.empty() || remark == told_) return;
    if (load_message::send(socket_.get(), load_message::kRemark, remark)) told_ = remark;
  }

  UniqueFd pidfd_;
  UniqueFd socket_;
  Heartbeat heartbeat_;
  const JobArguments arguments_;
  std::unique_ptr<LoadJob> job_;
  bool acting_ = false;
  std::optional<nanoseconds> deadline_;  ///< CLOCK_BOOTTIME
  std::string told_;
};

UniqueFd take(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
  return UniqueFd(fd);
}

/// What chaosd made of itself is nothing for a worker: no priority, no protection from the OOM killer, no signals that
/// are blocked or ignored.
void become_ordinary() {
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  for (int signo = 1; signo < SIGRTMIN; ++signo) std::signal(signo, SIG_DFL);
  // What is written to a file that has reached its limit is an error to be told, and no reason to die.
  std::signal(SIGXFSZ, SIG_IGN);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setpriority(PRIO_PROCESS, 0, 0);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  // First in line, whoever asks for memory (proc(5)).
  std::ofstream("/proc/self/oom_score_adj") << "1000";
  ::prctl(PR_SET_NAME, std::string(kLoadWorkerComm).c_str());
}

}  // namespace

int run_load_worker(int argc, char** argv) {
  // Before anything else: from here on it does not outlive the thread that started it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  UniqueFd pidfd = take(kWorkerPidfd);
  UniqueFd page = take(kWorkerHeartbeat);
  UniqueFd socket = take(kWorkerSocket);
  if (argc < 4 || !pidfd.valid() || !page.valid() || !socket.valid()) {
    std::fprintf(stderr, "chaosd load-worker: chaosd starts it, nobody else does\n");
    return 2;
  }
  (void)::close_range(kWorkerSocket + 1, std::numeric_limits<unsigned>::max(), 0);
  become_ordinary();
  auto heartbeat = Heartbeat::open(std::move(page));
  if (!heartbeat) return 1;
  JobArguments arguments;
  for (int i = 4; i < argc; ++i) {
    const std::string_view text = argv[i];
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) arguments[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  LoadWorker worker(std::move(pidfd), std::move(socket), std::move(*heartbeat), std::move(arguments));
  const int code = worker.run();
  // Threads of the job go on until the very end: nothing of it is taken apart.
  ::_exit(code);
}

}  // namespace chaos
