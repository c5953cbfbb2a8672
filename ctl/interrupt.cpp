#include "ctl/interrupt.h"

#include <poll.h>
#include <sys/signalfd.h>

namespace chaos::ctl {

Interrupt::Interrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signo : {SIGINT, SIGTERM}) {
    // A signal that is ignored (nohup, a script's background job) stays so; blocked, it would arrive all the same.
    struct sigaction action {};
    if (::sigaction(signo, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&signals, signo);
  }
  fd_.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  pthread_sigmask(fd_.valid() ? SIG_BLOCK : SIG_UNBLOCK, &signals, &before_);
}

Interrupt::~Interrupt() {
  // What has come was answered by whoever waited; left pending, it would end the process here.
  signalfd_siginfo taken{};
  while (fd_.valid() && ::read(fd_.get(), &taken, sizeof taken) == static_cast<ssize_t>(sizeof taken)) {
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interrupt::wait(int milliseconds) const {
  pollfd waited{fd_.get(), POLLIN, 0};
  return ::poll(&waited, 1, milliseconds) > 0;
}

}  // namespace chaos::ctl
