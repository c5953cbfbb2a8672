// SseParser: the event stream format (WHATWG HTML, "Server-sent events"), fed as bytes arrive. One stream per parser;
// not thread-safe.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace chaos::ctl {

struct SseEvent {
  std::string id;    ///< last id seen, may be older than this event
  std::string type;  ///< "message" if the stream names none
  std::string data;  ///< lines joined by '\n'
};

class SseParser {
 public:
  using Handler = std::function<void(const SseEvent&)>;
  explicit SseParser(Handler handler) : handler_(std::move(handler)) {}

  /// False once a line or an event is over the limit of 4 MiB: the stream cannot be trusted any more.
  [[nodiscard]] bool feed(std::string_view bytes);
  [[nodiscard]] const std::string& last_id() const { return last_id_; }

 private:
  void take_line(std::string_view line);
  void dispatch();

  Handler handler_;
  std::string line_;
  std::string type_;
  std::string data_;
  std::string last_id_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
};

}  // namespace chaos::ctl
