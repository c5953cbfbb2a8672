#include "api/events.h"

#include <algorithm>
#include <utility>

#include "api/problem.h"

namespace chaos {
namespace {

constexpr std::string_view kKeepAlive = ": keep-alive\n\n";
// Browsers and chaosctl come back after this many ms.
constexpr std::string_view kRetry = "retry: 2000\n\n";

std::string event_text(std::uint64_t id, std::string_view type, const nlohmann::json& data) {
  std::string text = "id: " + std::to_string(id) + "\nevent: ";
  text += type;
  return text + "\ndata: " + dump_json(data) + "\n\n";
}

}  // namespace

Result<std::unique_ptr<EventHub>> EventHub::create(EventLoop& loop, Options options) {
  std::unique_ptr<EventHub> hub(new EventHub(options.first_id));
  auto timer = loop.add_timer(options.keep_alive, [raw = hub.get(), every = options.keep_alive] {
    raw->send(kKeepAlive);
    raw->keep_alive_->rearm(every);
  });
  if (!timer) return std::unexpected(std::move(timer.error()));
  hub->keep_alive_ = std::move(*timer);
  return hub;
}

EventHub::~EventHub() {
  for (const auto& subscriber : subscribers_) subscriber.stream->finish();
}

std::uint64_t EventHub::publish(std::string_view type, const nlohmann::json& data) {
  const std::uint64_t id = next_id_++;
  ring_.push_back({id, event_text(id, type, data)});
  if (ring_.size() > kRing) ring_.pop_front();
  send(ring_.back().text);
  return id;
}

Result<std::shared_ptr<ByteStream>> EventHub::subscribe(std::optional<std::uint64_t> last_id, bool follow) {
  drop_gone();
  if (subscribers_.size() >= kMaxSubscribers) {
    return fail(Errc::kUnavailable, "too many clients follow the events", {}, "max " + std::to_string(kMaxSubscribers),
                "end some of them");
  }
  if (!follow && !last_id) last_id = 0;
  const std::uint64_t oldest = ring_.empty() ? next_id_ : ring_.front().id;
  std::string text(kRetry);
  if (last_id && *last_id != 0 && (*last_id + 1 < oldest || *last_id >= next_id_)) {
    text += event_text(next_id_ - 1, "reset", {{"oldest", oldest}});
  } else if (last_id) {
    for (const Event& event : ring_) {
      if (event.id > *last_id) text += event.text;
    }
  }
  auto stream = std::make_shared<ByteStream>();
  stream->write(text, text.size());
  if (follow) {
    subscribers_.push_back({stream, kMaxBehind + text.size()});
  } else {
    stream->finish();
  }
  return stream;
}

void EventHub::send(std::string_view text) {
  for (const auto& [stream, limit] : subscribers_) {
    if (!stream->reader_gone() && !stream->write(text, limit)) stream->abort();
  }
  drop_gone();
}

std::size_t EventHub::subscribers() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(subscribers_, [](const Subscriber& one) { return !one.stream->reader_gone(); }));
}

void EventHub::drop_gone() {
  std::erase_if(subscribers_, [](const Subscriber& s) { return s.stream->reader_gone() || s.stream->aborted(); });
}

}  // namespace chaos
