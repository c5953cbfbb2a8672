#include "fault/wait_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <array>
#include <csignal>
#include <future>
#include <limits>

#include "base/instance.h"
#include "base/spawn.h"
#include "base/units.h"
#include "load/messages.h"
#include "wait/wait_server.h"

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kAnswerWithin{5000};
constexpr std::chrono::milliseconds kGoneWithin{10000};

bool readable(int fd, std::chrono::milliseconds patience) {
  pollfd waited{fd, POLLIN, 0};
  return ::poll(&waited, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

Result<std::unique_ptr<WaitProcess>> WaitProcess::start(const LoadGround& ground, const WaitMaps& maps,
                                                        const WaitOrder& order) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return fail_errno("make a socket pair");
  std::unique_ptr<WaitProcess> process(new WaitProcess(maps));
  process->socket_.reset(pair[0]);
  const UniqueFd other(pair[1]);
  std::vector<std::string> words{std::string(kWaitComm), kWaitServerVerb, "--instance", ground.instance};
  for (std::string& word : to_words(order)) words.push_back(std::move(word));
  Status status = process->spawn(
      words, {ground.pidfd.get(), ground.heartbeat.fd(), other.get(), maps.waiting_fd(), maps.waits_fd()});
  if (status) status = process->await_ready();
  if (!status) return std::unexpected(status.error());
  return process;
}

/// By a thread of its own, whose end the kernel takes for chaosd's. It has no descriptors: the last thread of a process
/// that dies closes them all before it has ended, and closing what programs are attached by takes its time.
Status WaitProcess::spawn(const std::vector<std::string>& words, const std::vector<int>& fds) {
  std::promise<Result<pid_t>> started;
  auto result = started.get_future();
  starter_ = std::thread([this, &words, &fds, promise = std::move(started)]() mutable {
    ::pthread_setname_np(::pthread_self(), "waits");
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    if (::unshare(CLONE_FILES) != 0) {
      promise.set_value(fail_errno("start a thread without descriptors"));
      return;
    }
    auto pid = spawn_self(words, fds);
    (void)::close_range(0, std::numeric_limits<unsigned>::max(), 0);
    promise.set_value(std::move(pid));
    ended_.wait(false);
  });
  const auto pid = result.get();
  if (!pid) return std::unexpected(pid.error());
  server_ = *pid;
  server_pidfd_.reset(::pidfd_open(server_, 0));
  if (server_pidfd_.valid()) return {};
  // Not reaped yet, so the number is still its own.
  const auto error = fail_errno("open a pidfd of a wait server");
  ::kill(server_, SIGKILL);
  return error;
}

Status WaitProcess::await_ready() {
  if (!readable(socket_.get(), kAnswerWithin)) return fail(Errc::kUnavailable, "a wait server does not answer");
  const auto answer = load_message::receive(socket_.get());
  if (answer && answer->what == load_message::kRefused) return std::unexpected(load_message::error_of(answer->text));
  if (!answer || answer->what != load_message::kReady) {
    return fail(Errc::kUnavailable, "a wait server has ended before it began");
  }
  const std::size_t space = answer->text.find(' ');
  const auto holder = parse_unsigned(std::string_view(answer->text).substr(0, space));
  const auto address = space == std::string::npos ? holder : parse_unsigned(answer->text.substr(space + 1));
  if (!holder || !address) return fail(Errc::kInternal, "a wait server says \"" + answer->text + "\"");
  holder_ = static_cast<pid_t>(*holder);
  address_ = *address;
  holder_pidfd_.reset(::pidfd_open(holder_, 0));
  return holder_pidfd_.valid() ? Status() : fail_errno("open a pidfd of a holder of waits");
}

void WaitProcess::release() {
  std::atomic_ref(maps_.waiting().released).store(1);
  (void)load_message::send(socket_.get(), kWaitRelease);
}

bool WaitProcess::alive() const {
  return !readable(server_pidfd_.get(), std::chrono::milliseconds(0)) &&
         !readable(holder_pidfd_.get(), std::chrono::milliseconds(0));
}

void WaitProcess::end() {
  if (server_pidfd_.valid()) {
    (void)::pidfd_send_signal(server_pidfd_.get(), SIGKILL, nullptr, 0);
    if (readable(server_pidfd_.get(), kGoneWithin)) (void)::waitpid(server_, nullptr, 0);
    server_pidfd_.reset();
  }
  if (holder_pidfd_.valid()) {
    (void)readable(holder_pidfd_.get(), kGoneWithin);
    holder_pidfd_.reset();
  }
  if (!starter_.joinable()) return;
  ended_.store(true);
  ended_.notify_one();
  starter_.join();
}

}  // namespace chaos
