#include "telemetry/probe_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace chaos {
namespace {

constexpr std::size_t kMostOutput = 64 * 1024;
constexpr int kCannotRun = 127;  // as a shell says it

/// What the child does until its program runs: system calls only.
[[noreturn]] void become(char* const* argv, int null, int output, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotRun);  // it died before that
  // What chaosd has for itself is not the command's: its priority, and its place behind all others for the OOM killer.
  ::setpriority(PRIO_PROCESS, 0, 0);
  if (const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
    (void)!::write(score, "0", 1);
    ::close(score);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  ::execvp(argv[0], argv);
  ::_exit(kCannotRun);
}

}  // namespace

Result<std::unique_ptr<ProbeCommand>> ProbeCommand::start(const std::vector<std::string>& argv, bool catch_output) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe");
  std::unique_ptr<ProbeCommand> command(new ProbeCommand);
  command->output_.reset(ends[0]);
  const UniqueFd child_output(ends[1]);
  ::fcntl(child_output.get(), F_SETFL, 0);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return fail_errno("open /dev/null");
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  command->pid_ = ::fork();
  if (command->pid_ == 0) {
    become(arguments.data(), null.get(), catch_output ? child_output.get() : null.get(), parent);
  }
  if (command->pid_ < 0) return fail_errno("fork for " + argv.front());
  ::setpgid(command->pid_, command->pid_);
  command->pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, command->pid_, 0)));
  if (!command->pidfd_.valid()) return fail_errno("pidfd_open");
  return command;
}

ProbeCommand::~ProbeCommand() {
  if (pid_ <= 0) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
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
