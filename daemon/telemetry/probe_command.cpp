#include "telemetry/probe_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/spawn.h"
#include "telemetry/probe_process.h"

namespace chaos {
namespace {

constexpr std::size_t kMostOutput = 64 * 1024;

}  // namespace

Result<std::unique_ptr<ProbeCommand>> ProbeCommand::start(const std::vector<std::string>& argv, bool catch_output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe");
  std::unique_ptr<ProbeCommand> command(new ProbeCommand);
  command->output_.reset(ends[0]);
  const UniqueFd child_output(ends[1]);
  ::fcntl(child_output.get(), F_SETFL, 0);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd chaosd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!null.valid() || !chaosd.valid()) return fail_errno("set up " + argv.front());
  std::vector<std::string> words{"chaosd-probe", kProbeVerb};
  words.insert(words.end(), argv.begin(), argv.end());
  const auto pid = spawn_self(std::move(words), {chaosd.get(), catch_output ? child_output.get() : null.get()});
  if (!pid) return std::unexpected(pid.error());
  command->pid_ = *pid;
  command->pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, command->pid_, 0)));
  if (!command->pidfd_.valid()) return fail_errno("pidfd_open");
  return command;
}

ProbeCommand::~ProbeCommand() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);  // which may not lead its group yet
  ::waitpid(pid_, nullptr, 0);
}

void ProbeCommand::take_output() {
  std::array<char, 4096> buffer{};
  while (output_.valid()) {
    const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) output_.reset();
    if (got <= 0) return;
    const std::size_t room = kMostOutput - std::min(kMostOutput, text_.size());
    text_.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
  }
}

std::optional<std::string> ProbeCommand::poll() {
  take_output();
  siginfo_t info{};
  // What it started may go on: it is ended with it, before its number is free.
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != pid_) {
    return std::nullopt;
  }
  take_output();
  ::kill(-pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  if (WIFSIGNALED(status)) return fmt::format("ended by signal {}", WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  if (code == kCannotRun) return "could not be run (exit status 127)";
  return code == 0 ? std::string() : fmt::format("exit status {}", code);
}

}  // namespace chaos
