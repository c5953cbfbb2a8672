#include "ctl/sse.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kLimit = std::size_t{4} << 20;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

bool SseParser::feed(std::string_view bytes) {
  for (const char c : bytes) {
    const bool second_half_of_crlf = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (second_half_of_crlf) continue;
    if (c != '\n' && c != '\r') {
      if (line_.size() >= kLimit) return false;
      line_ += c;
      continue;
    }
    std::string_view line = line_;
    if (at_start_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    at_start_ = false;
    take_line(line);
    line_.clear();
    if (data_.size() > kLimit) return false;
  }
  return true;
}

void SseParser::take_line(std::string_view line) {
  if (line.empty()) return dispatch();
  if (line.starts_with(':')) return;  // a comment: the server keeps the connection alive
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") {
    type_ = value;
  } else if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    last_id_ = value;
  }
}

void SseParser::dispatch() {
  if (has_data_) handler_({last_id_, type_.empty() ? "message" : type_, data_});
  type_.clear();
  data_.clear();
  has_data_ = false;
}

}  // namespace chaos::ctl
