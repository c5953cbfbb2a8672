// TopSignals: the signals that chaosctl top lives by, as something that poll(2) sees: the end (SIGINT, SIGTERM, SIGHUP,
// SIGQUIT), another size (SIGWINCH), suspended and going on (SIGTSTP, SIGCONT). Blocks them in the calling thread as
// long as the object lives; make it before any other thread.
#pragma once

#include <signal.h>

#include <optional>

#include "base/unique_fd.h"

namespace chaos::ctl {

class TopSignals {
 public:
  TopSignals();
  ~TopSignals();
  TopSignals(const TopSignals&) = delete;
  TopSignals& operator=(const TopSignals&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The next that has come; empty if none is left.
  [[nodiscard]] std::optional<int> take() const;
  /// Stops the process as SIGTSTP does by itself; returns when somebody lets it go on. The terminal must have been
  /// left.
  void suspend() const;

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

}  // namespace chaos::ctl
