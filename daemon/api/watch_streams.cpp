#include "api/watch_streams.h"

#include <algorithm>
#include <utility>

#include "api/problem.h"
#include "base/clock.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

// A reader's leaving is seen when something is sent to it: so something is, so often.
constexpr std::chrono::seconds kStillThere{1};
constexpr std::string_view kEventFill = ": keep-alive\n\n";
constexpr std::string_view kDocumentFill = "\n";  // white space before a JSON document means nothing

}  // namespace

WatchStreams::WatchStreams(EventLoop& loop, Watches& watches) : loop_(loop), watches_(watches) {}

WatchStreams::~WatchStreams() {
  for (auto& [number, one] : running_) one.stream->abort();
}

void WatchStreams::answer(WatchQuery query, Reply reply) {
  if (query.lease) {
    return watches_.read_and_keep(std::move(query.ask), *query.lease,
                                  [reply = std::move(reply)](Result<nlohmann::json> report) mutable {
                                    if (!report) return reply(std::unexpected(std::move(report.error())));
                                    reply(json_response(200, *report));
                                  });
  }
  if (running_.size() + opening_ >= kMost) {
    return reply(
        fail(Errc::kUnavailable, "too many clients watch", {}, "max " + std::to_string(kMost), "end some of them"));
  }
  ++opening_;
  WatchAsk ask = query.ask;
  watches_.open(std::move(ask),
                [this, query = std::move(query), reply = std::move(reply)](Result<Watches::Id> watch) mutable {
                  --opening_;
                  if (!watch) return reply(std::unexpected(std::move(watch.error())));
                  begin(std::move(query), *watch, std::move(reply));
                });
}

void WatchStreams::begin(WatchQuery query, Watches::Id watch, Reply reply) {
  const nanoseconds now = system_clock().monotonic();
  const Number number = next_++;
  Running one{.watch = watch, .query = std::move(query), .stream = std::make_shared<ByteStream>()};
  one.ends_at = now + one.query.duration;
  one.due_at = one.query.interval ? std::min(now + nanoseconds(*one.query.interval), one.ends_at) : one.ends_at;
  auto timer = loop_.add_timer(wait_of(one), [this, number] { look(number); });
  if (!timer) {
    watches_.close(watch);
    return reply(std::unexpected(std::move(timer.error())));
  }
  one.timer = std::move(*timer);
  HttpResponse response;
  response.headers = {{"Content-Type", one.query.interval ? "text/event-stream" : "application/json"}};
  response.stream = one.stream;
  running_.emplace(number, std::move(one));
  reply(std::move(response));
}

nanoseconds WatchStreams::wait_of(const Running& one) {
  const nanoseconds left = one.due_at - system_clock().monotonic();
  return std::clamp<nanoseconds>(left, nanoseconds(0), kStillThere);
}

void WatchStreams::look(Number number) {
  const auto found = running_.find(number);
  if (found == running_.end()) return;
  Running& one = found->second;
  if (one.stream->reader_gone() || one.stream->aborted()) return end(number);
  if (system_clock().monotonic() >= one.due_at) {
    return watches_.read(one.watch, [this, number](Result<nlohmann::json> report) { take(number, std::move(report)); });
  }
  if (!one.stream->write(one.query.interval ? kEventFill : kDocumentFill, kMaxBehind)) return end(number);
  one.timer->rearm(wait_of(one));
}

void WatchStreams::take(Number number, Result<nlohmann::json> report) {
  const auto found = running_.find(number);
  if (found == running_.end()) return;
  Running& one = found->second;
  std::string text = report ? dump_json(*report) : std::string();
  if (one.query.interval) {
    text = "event: " + std::string(to_string(one.query.ask.kind)) + "\ndata: " + text + "\n\n";
  } else {
    text += "\n";
  }
  const bool over = one.due_at >= one.ends_at;
  if (!report || !one.stream->write(text, kMaxBehind)) {
    one.stream->abort();
    return end(number);
  }
  if (over) {
    one.stream->finish();
    return end(number);
  }
  const nanoseconds now = system_clock().monotonic();
  one.due_at += nanoseconds(*one.query.interval);
  // What a busy machine has missed is left out.
  if (one.due_at < now) one.due_at = now;
  one.due_at = std::min(one.due_at, one.ends_at);
  one.timer->rearm(wait_of(one));
}

void WatchStreams::end(Number number) {
  const auto found = running_.find(number);
  if (found == running_.end()) return;
  watches_.close(found->second.watch);
  // Its timer may be what called.
  loop_.post([timer = std::move(found->second.timer)]() mutable { timer.reset(); });
  running_.erase(found);
}

}  // namespace chaos
