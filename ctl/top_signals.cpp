#include "ctl/top_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace chaos::ctl {

TopSignals::TopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signo : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT}) {
    // One that is ignored (nohup) stays so; blocked, it would arrive all the same.
    struct sigaction action {};
    if (::sigaction(signo, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&signals, signo);
  }
  // SIGWINCH and SIGCONT do nothing by themselves, but are not ignored: a signalfd gets them.
  fd_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  pthread_sigmask(fd_.valid() ? SIG_BLOCK : SIG_UNBLOCK, &signals, &before_);
}

TopSignals::~TopSignals() {
  // What has come was answered by leaving; left pending, it would end the process here.
  while (fd_.valid() && take()) {
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> TopSignals::take() const {
  signalfd_siginfo taken{};
  if (::read(fd_.get(), &taken, sizeof taken) != static_cast<ssize_t>(sizeof taken)) return std::nullopt;
  return static_cast<int>(taken.ssi_signo);
}

void TopSignals::suspend() const {
  // ncurses has put a handler of its own there.
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &usual, nullptr);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // stops here
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

}  // namespace chaos::ctl
