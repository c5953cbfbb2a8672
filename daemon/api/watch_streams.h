// WatchStreams: answers to who asks for eBPF telemetry: one document at the end of a duration, or server-sent events
// until it is over or the asker goes away, which ends the watch. Loop thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "api/http.h"
#include "api/watch_query.h"
#include "base/event_loop.h"
#include "base/result.h"
#include "telemetry/watches.h"

namespace chaos {

class WatchStreams {
 public:
  static constexpr std::size_t kMost = 64;
  static constexpr std::size_t kMaxBehind = 4 * 1024 * 1024;

  /// Both must outlive it.
  WatchStreams(EventLoop& loop, Watches& watches);
  /// Ends all streams.
  ~WatchStreams();
  WatchStreams(const WatchStreams&) = delete;
  WatchStreams& operator=(const WatchStreams&) = delete;

  /// The answer to a request, once the programs are attached, or why not. Errors: those of Watches, kUnavailable (kMost
  /// are under way).
  using Reply = std::move_only_function<void(Result<HttpResponse>)>;
  void answer(WatchQuery query, Reply reply);

 private:
  struct Running {
    Watches::Id watch = 0;
    WatchQuery query;
    std::shared_ptr<ByteStream> stream;
    std::chrono::nanoseconds ends_at{};  ///< CLOCK_MONOTONIC, as the next one
    std::chrono::nanoseconds due_at{};   ///< of the next event
    EventLoop::SourcePtr timer{};
  };
  using Number = std::uint64_t;
  void begin(WatchQuery query, Watches::Id watch, Reply reply);
  void look(Number number);
  void take(Number number, Result<nlohmann::json> report);
  void end(Number number);
  static std::chrono::nanoseconds wait_of(const Running& one);

  EventLoop& loop_;
  Watches& watches_;
  Number next_ = 1;
  std::size_t opening_ = 0;
  std::map<Number, Running> running_;
};

}  // namespace chaos
