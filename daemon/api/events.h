// EventHub: what happens, as server-sent events (WHATWG HTML, section 9.2). Keeps the last events so that a client
// that comes back with Last-Event-ID misses none. Loop thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/http.h"
#include "base/event_loop.h"
#include "base/result.h"

namespace chaos {

class EventHub {
 public:
  static constexpr std::size_t kRing = 1024;
  static constexpr std::size_t kMaxBehind = 256 * 1024;
  static constexpr std::size_t kMaxSubscribers = 128;

  struct Options {
    std::chrono::milliseconds keep_alive = std::chrono::seconds(15);
    /// Id of the first event. Ids must not repeat over restarts, or a client that comes back would miss events
    /// unnoticed; the daemon passes microseconds of wall time.
    std::uint64_t first_id = 1;
  };
  static Result<std::unique_ptr<EventHub>> create(EventLoop& loop, Options options);
  /// Ends all streams.
  ~EventHub();
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  /// Ids count up by one. A subscriber that is more than kMaxBehind bytes behind is cut off.
  std::uint64_t publish(std::string_view type, const nlohmann::json& data);

  /// After `last_id`, or only what comes from now on. 0: all that is still kept. If events after `last_id` are no
  /// longer kept (or it was never given out) the stream starts with `event: reset`: read the state anew. Without
  /// `follow` the stream ends after what is kept (all of it, if there is no `last_id`). Error: kUnavailable if there
  /// are kMaxSubscribers.
  Result<std::shared_ptr<ByteStream>> subscribe(std::optional<std::uint64_t> last_id, bool follow = true);
  /// Those that are known to have gone do not count.
  [[nodiscard]] std::size_t subscribers() const;

 private:
  struct Event {
    std::uint64_t id;
    std::string text;
  };
  struct Subscriber {
    std::shared_ptr<ByteStream> stream;
    std::size_t limit;  ///< kMaxBehind, and what it got to catch up with
  };
  explicit EventHub(std::uint64_t first_id) : next_id_(first_id) {}
  void send(std::string_view text);
  void drop_gone();

  std::uint64_t next_id_;
  std::deque<Event> ring_;
  std::vector<Subscriber> subscribers_;
  EventLoop::SourcePtr keep_alive_;
};

}  // namespace chaos
