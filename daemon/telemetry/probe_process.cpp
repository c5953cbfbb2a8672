#include "telemetry/probe_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <array>
#include <csignal>
#include <fstream>
#include <limits>

#include "base/unique_fd.h"

namespace chaos {
namespace {

/// What chaosd has for itself is not the command's: its priority, its place behind all others for the OOM killer, the
/// signals that it blocks.
void become_ordinary() {
  ::prctl(PR_SET_NAME, "chaosd-probe");
  ::setpriority(PRIO_PROCESS, 0, 0);
  std::ofstream("/proc/self/oom_score_adj") << "0";
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
}

[[noreturn]] void run(char** command, const UniqueFd& null) {
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(kProbeOutput, STDOUT_FILENO);
  ::dup2(null.get(), STDERR_FILENO);
  (void)::close_range(STDERR_FILENO + 1, std::numeric_limits<unsigned>::max(), 0);
  ::execvp(command[0], command);
  ::_exit(kCannotRun);
}

}  // namespace

int run_probe_process(int argc, char** argv) {
  // Without a group of its own it could not end the command without ending others.
  if (argc < 3 || ::setpgid(0, 0) != 0) return kCannotRun;
  become_ordinary();
  (void)::close_range(kProbeOutput + 1, std::numeric_limits<unsigned>::max(), 0);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return kCannotRun;
  const pid_t pid = ::fork();
  if (pid == 0) run(argv + 2, null);
  if (pid < 0) return kCannotRun;
  // The end of the output is the command's, not this process's.
  ::close(kProbeOutput);
  const UniqueFd command(::pidfd_open(pid, 0));
  std::array<pollfd, 2> watched{{{kProbeChaosd, POLLIN, 0}, {command.get(), POLLIN, 0}}};
  while (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) {
  }
  if (!command.valid() || watched[0].revents != 0) ::kill(0, SIGKILL);  // the group, and so itself
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return kCannotRun;
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(WTERMSIG(status), SIG_DFL);
  ::raise(WTERMSIG(status));
  return kCannotRun;
}

}  // namespace chaos
