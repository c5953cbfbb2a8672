// HTTP as the handlers see it: requests, responses, and the stream behind server-sent events. Free of libmicrohttpd.
// Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/identity.h"
#include "plan/scenario.h"

namespace chaos {

struct HttpRequest {
  std::string method;
  std::string path;                            ///< decoded, without the query
  std::map<std::string, std::string> params;   ///< `{id}` of the route's pattern
  std::map<std::string, std::string> query;    ///< decoded; of a repeated name, the last
  std::map<std::string, std::string> headers;  ///< names in lower case; repeated ones joined by ", "
  std::string body;
  Caller caller;
  Role role = Role::kNone;
  bool view_only = false;  ///< came in through a socket that serves GET only
  std::string socket;      ///< name of that socket, for the audit log
  std::string request_id;  ///< ULID; the response carries it as X-Request-Id
};

/// Bytes on their way to one client for as long as both sides want: written by a producer, read by the server.
/// Loop thread on both sides.
class ByteStream {
 public:
  /// Appends. False: the reader is gone or further behind than `limit` bytes; nothing was appended, stop writing.
  bool write(std::string_view bytes, std::size_t limit);
  /// What was written still goes out, then the response ends well.
  void finish();
  /// Ends the response at once; the client sees a broken transfer.
  void abort();
  [[nodiscard]] bool reader_gone() const { return reader_gone_; }

  // For the server.
  [[nodiscard]] std::size_t read(char* to, std::size_t max);
  [[nodiscard]] bool finished() const { return finished_ && pending_.empty(); }
  [[nodiscard]] bool aborted() const { return aborted_; }
  /// `wake` is called when there is something to read or the stream ends. Empty: nobody listens any more.
  void on_change(std::function<void()> wake) { wake_ = std::move(wake); }
  void reader_leaves();

 private:
  void notify();

  std::string pending_;
  std::function<void()> wake_;
  bool finished_ = false;
  bool aborted_ = false;
  bool reader_gone_ = false;
};

/// What a handler adds to the audit log's line about its request.
struct AuditNote {
  std::string scenario_id{};
  std::string detail{};  ///< what was asked for
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  std::shared_ptr<ByteStream> stream{};  ///< instead of `body` if set
  AuditNote audit{};                     ///< not sent
};

/// Gives the one answer to a request; may be kept and called later, on the loop thread. Harmless after the client or
/// the server has gone. Dropping it unanswered (on any thread) makes the server answer 503.
using Respond = std::move_only_function<void(HttpResponse)>;
using Handler = std::function<void(const HttpRequest&, Respond)>;

}  // namespace chaos
