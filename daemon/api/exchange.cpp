#include "api/exchange.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "api/problem.h"

namespace chaos {

void Exchange::answer(HttpResponse with) {
  if (gone || response) return;
  response = std::move(with);
  wake();
}

void Exchange::wake() {
  if (const auto go_on = std::exchange(resume, nullptr)) go_on();
}

Answer::~Answer() {
  if (exchange_ == nullptr) return;
  const auto mailbox = exchange_->mailbox;
  const std::lock_guard lock(mailbox->mutex);
  if (mailbox->loop == nullptr) return;
  mailbox->loop->post([exchange = std::move(exchange_)] {
    exchange->answer(problem_response(Error{.code = Errc::kUnavailable,
                                            .message = "the request was given up, chaosd may be shutting down",
                                            .hint = "look at the state before you repeat it"},
                                      exchange->request_id));
  });
}

void Answer::operator()(HttpResponse response) {
  if (const auto exchange = std::exchange(exchange_, nullptr)) exchange->answer(std::move(response));
}

std::size_t content_length(const HttpRequest& request) {
  const auto header = request.headers.find("content-length");
  if (header == request.headers.end()) return 0;
  std::size_t length = 0;
  const char* end = header->second.data() + header->second.size();
  return std::from_chars(header->second.data(), end, length).ec == std::errc() ? length : SIZE_MAX;
}

HttpResponse body_too_large(const HttpLimits& limits, const std::string& request_id) {
  return problem_response(Error{.code = Errc::kTooLarge,
                                .message = "the body is too large",
                                .rule = "max " + std::to_string(limits.body_bytes) + " bytes",
                                .hint = "api.max_request_bytes in chaosd.yaml sets the limit"},
                          request_id);
}

HttpResponse headers_too_large(const HttpLimits& limits, const std::string& request_id) {
  return problem_response(Problem{.status = 431,
                                  .name = "headers-too-large",
                                  .title = "The request's headers are too large",
                                  .error = {.message = "request line and header fields are too large",
                                            .rule = "max " + std::to_string(limits.header_bytes) + " bytes"}},
                          request_id);
}

}  // namespace chaos
