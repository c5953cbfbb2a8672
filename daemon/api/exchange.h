// Exchange: one request under way and its answer, between the server and a handler that may answer late or never.
// Internal to the server. Loop thread, but for the end of an Answer.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "api/http.h"
#include "api/server.h"
#include "base/event_loop.h"

namespace chaos {

/// How an answer that is dropped on another thread finds the loop, as long as there is one.
struct Mailbox {
  std::mutex mutex;
  EventLoop* loop = nullptr;
};

/// Outlives the connection while a handler holds on to its Respond.
struct Exchange {
  HttpRequest request;
  std::string request_id;
  std::size_t received = 0;
  bool too_large = false;
  bool dispatched = false;
  bool gone = false;               ///< the client, or the server: nobody waits any more
  std::function<void()> resume{};  ///< set while the connection waits for the answer
  std::optional<HttpResponse> response;
  std::shared_ptr<Mailbox> mailbox;

  /// The first answer counts.
  void answer(HttpResponse with);
  /// Lets the connection go on, if it waits.
  void wake();
};

/// The target of a Respond. Dropped without a call, it answers 503.
class Answer {
 public:
  explicit Answer(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  Answer(Answer&&) = default;
  Answer& operator=(Answer&&) = delete;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer();

  void operator()(HttpResponse response);

 private:
  std::shared_ptr<Exchange> exchange_;
};

/// Of the header; SIZE_MAX if that is no number.
[[nodiscard]] std::size_t content_length(const HttpRequest& request);
[[nodiscard]] HttpResponse body_too_large(const HttpLimits& limits, const std::string& request_id);
[[nodiscard]] HttpResponse headers_too_large(const HttpLimits& limits, const std::string& request_id);

}  // namespace chaos
