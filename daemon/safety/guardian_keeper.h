// GuardianKeeper: chaosd's side of the guardian. Starts it, hears when it is ready, starts it again when it dies, ends
// one that does not come round any more (stopped, or stuck), and lets the undo journal take records only while it can
// be relied on. Loop thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "safety/heartbeat.h"
#include "safety/undo_journal.h"

namespace chaos {

class GuardianKeeper {
 public:
  struct Place {
    std::filesystem::path runtime_dir;
    std::string instance;
  };
  /// Starts the first one; it is ready within some ms, on the loop. `on_change(pid)`: a guardian is ready (its pid), or
  /// none is (0). One that has not come round for 1 s is not relied on; when that still holds a second later, it is
  /// killed and started anew. `loop`, `heartbeat` and `journal` must outlive it. Error: kInternal (it cannot be
  /// started).
  static Result<std::unique_ptr<GuardianKeeper>> start(EventLoop& loop, const Heartbeat& heartbeat,
                                                       UndoJournal& journal, Place place,
                                                       std::function<void(pid_t)> on_change);
  ~GuardianKeeper();
  GuardianKeeper(const GuardianKeeper&) = delete;
  GuardianKeeper& operator=(const GuardianKeeper&) = delete;

  /// 0 while none is ready.
  [[nodiscard]] pid_t pid() const { return ready_ ? pid_.load() : 0; }
  /// The one that is or was started last, ready or not. Any thread.
  [[nodiscard]] pid_t process() const { return pid_.load(); }

 private:
  GuardianKeeper(EventLoop& loop, const Heartbeat& heartbeat, UndoJournal& journal, Place place,
                 std::function<void(pid_t)> on_change);
  Status spawn();
  void became_ready();
  void died();
  void look();
  void rely(bool on);

  EventLoop& loop_;
  const Heartbeat& heartbeat_;
  UndoJournal& journal_;
  const Place place_;
  std::function<void(pid_t)> on_change_;
  std::atomic<pid_t> pid_{0};
  bool ready_ = false;
  std::chrono::nanoseconds spawned_{};
  /// The last look found it late.
  bool late_ = false;
  UniqueFd own_pidfd_;
  UniqueFd pidfd_;
  UniqueFd ready_pipe_;
  EventLoop::SourcePtr death_;
  EventLoop::SourcePtr readiness_;
  EventLoop::SourcePtr retry_;
  EventLoop::SourcePtr looks_;
};

}  // namespace chaos
