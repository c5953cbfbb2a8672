// Interrupt: turns Ctrl-C (SIGINT) and SIGTERM into something that a wait can see, for as long as the object lives.
// Blocks both signals in the calling thread; make it before a wait, on that thread.
#pragma once

#include <signal.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos::ctl {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Readable once a signal has come; -1 if the kernel gave none (the signals then end the process as usual).
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Waits at most `milliseconds`; true if a signal has come.
  [[nodiscard]] bool wait(int milliseconds) const;

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

}  // namespace chaos::ctl
