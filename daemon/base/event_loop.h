// EventLoop: the daemon's main loop on sd-event. Everything but post() and the progress stamp belongs to the thread
// that calls run(); post() may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

struct sd_event;
struct sd_event_source;

namespace chaos {

class EventLoop {
 public:
  /// A registered source; destroying it unregisters, also from its own callback. Loop thread only. Callbacks must not
  /// throw (std::terminate).
  class Source {
   public:
    struct Callback;
    Source(sd_event_source* source, std::unique_ptr<Callback> callback);
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    ~Source();
    /// Timers: fire next at this delay from now (re-arms a one-shot).
    void rearm(std::chrono::nanoseconds delay);

   private:
    sd_event_source* source_;
    std::unique_ptr<Callback> callback_;
  };
  using SourcePtr = std::unique_ptr<Source>;

  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// `epoll_events`: EPOLLIN etc. The callback gets the revents.
  [[nodiscard]] Result<SourcePtr> add_io(int fd, std::uint32_t epoll_events,
                                         std::function<void(std::uint32_t)> callback);
  /// One shot after `delay` on CLOCK_BOOTTIME; re-arm with Source::rearm. Accuracy 1 ms.
  [[nodiscard]] Result<SourcePtr> add_timer(std::chrono::nanoseconds delay, std::function<void()> callback);
  /// Blocks the signal in the calling thread and handles it on the loop. Call before any thread is started.
  [[nodiscard]] Result<SourcePtr> add_signal(int signo, std::function<void()> callback);

  /// Runs `job` on the loop thread. Any thread; never blocks on the loop.
  void post(std::move_only_function<void()> job);
  /// Runs until quit(). Feeds the systemd watchdog if one is asked for.
  Status run();
  void quit(int exit_code = 0);
  [[nodiscard]] int exit_code() const { return exit_code_; }

  /// CLOCK_MONOTONIC ns of the last time that the loop was seen alive. Read by the lease thread.
  [[nodiscard]] const std::atomic<std::uint64_t>& progress_stamp() const { return progress_ns_; }

 private:
  EventLoop() = default;
  std::unique_ptr<Source::Callback> make_callback(std::function<void(std::uint32_t)> call);
  void drain_posted();

  sd_event* event_ = nullptr;
  UniqueFd wake_;
  SourcePtr wake_source_;
  SourcePtr heartbeat_;
  std::mutex mutex_;
  std::vector<std::move_only_function<void()>> posted_;
  std::atomic<std::uint64_t> progress_ns_{0};
  int exit_code_ = 0;
};

}  // namespace chaos
