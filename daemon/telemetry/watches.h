// Watches: who asks for eBPF telemetry, and the programs that are attached for them. They are attached when the first
// one asks about something, shared by all who ask about the same, and detached when the last one has gone; they end
// with chaosd, however it ends, since descriptors own them. A thread of its own ("watches") attaches and reads, which
// nothing of the fault path waits for. Public functions: loop thread, where replies come as well; objects() and the
// collector: any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <nlohmann/json.hpp>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/worker.h"
#include "plan/target.h"
#include "telemetry/collector.h"
#include "telemetry/watch.h"

namespace chaos {

/// What somebody wants to know.
struct WatchAsk {
  WatchKind kind = WatchKind::kDrops;
  TargetKeys target;  ///< see find_watch_target()
};

class Watches {
 public:
  static constexpr std::size_t kMost = 8;  ///< sets of programs at a time
  using Id = std::uint64_t;
  using IdReply = std::move_only_function<void(Result<Id>)>;
  using JsonReply = std::move_only_function<void(Result<nlohmann::json>)>;

  /// `loop` must outlive it. Attaches nothing.
  Watches(EventLoop& loop, ProbeIdentity identity);
  ~Watches();
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  /// Names of services are looked up here from now on.
  void configure(const Config& config);

  /// Attached when the reply comes, until close(). Errors: those of find_watch_target() and attach_watch();
  /// kRefused if there are kMost others.
  void open(WatchAsk ask, IdReply reply);
  /// What has been counted since it was opened. Error: kNotFound after close().
  void read(Id id, JsonReply reply);
  void close(Id id);
  /// All that has been counted since the programs were attached; they stay for `how_long` from now on. For who asks
  /// again and again.
  void read_and_keep(WatchAsk ask, std::chrono::nanoseconds how_long, JsonReply reply);

  /// Shows what is attached. Outlives this, showing nothing then.
  [[nodiscard]] std::unique_ptr<Collector> collector() const;
  [[nodiscard]] WatchObjects objects() const;

 private:
  struct Core;
  void look_after();

  EventLoop& loop_;
  Id next_id_ = 1;
  EventLoop::SourcePtr timer_;
  bool timer_armed_ = false;
  bool asked_ = false;          ///< since the timer last fired
  std::shared_ptr<Core> core_;  ///< the worker's, but for what its lock guards
  Worker worker_;               ///< last: joined first
};

}  // namespace chaos
