// Client: HTTP over chaosd's Unix socket (libcurl). Owns the connection; one thread. No call throws; what goes wrong
// comes back as a Problem.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/problem.h"
#include "ctl/socket_path.h"
#include "ctl/sse.h"

namespace chaos::ctl {

class Client {
 public:
  explicit Client(std::string socket);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  /// For requests (not streams). The default suits a stop that waits until every link is gone.
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  /// A request ends with Exit::kInterrupted once `fd` is readable; -1, the default: it does not. Not for streams, which
  /// have their own.
  void set_interrupt(int fd) { interrupt_fd_ = fd; }
  [[nodiscard]] const std::string& socket() const { return socket_; }

  /// Where `socket` may not be opened (EACCES), reads go to chaosd-view.sock beside it.
  Outcome<Json> get(const std::string& path);
  /// `headers` are complete lines ("Idempotency-Key: x").
  Outcome<Json> post(const std::string& path, const Json& body, const std::vector<std::string>& headers = {});

  struct StreamHooks {
    std::function<bool(const SseEvent&)> on_event;  ///< false ends the stream
    std::function<bool()> on_tick;                  ///< once when the stream is open, then every `tick`; false ends it
    std::chrono::milliseconds tick{1000};
    int interrupt_fd = -1;  ///< ends the stream when readable
  };
  enum class StreamEnd { kEndedByHook, kInterrupted, kClosed };
  /// GET `path` as an event stream. `last_event_id`: resume after it, empty for new events only.
  Outcome<StreamEnd> stream(const std::string& path, const std::string& last_event_id, const StreamHooks& hooks);

 private:
  struct Request;
  struct Stream;
  Outcome<Json> perform(const Request& request);
  Outcome<Json> perform_on(const std::string& socket, const Request& request);
  Outcome<StreamEnd> stream_on(const std::string& socket, const std::string& path, const std::string& last_event_id,
                               const StreamHooks& hooks);
  /// chaosd-view.sock beside the socket; empty if there is none to fall back to.
  [[nodiscard]] std::string view_socket() const;

  std::string socket_;
  std::chrono::milliseconds timeout_{60'000};
  int interrupt_fd_ = -1;
  struct EasyDeleter {
    void operator()(void* easy) const;
  };
  std::unique_ptr<void, EasyDeleter> easy_;
};

/// `text` for use as one path segment or query value of a URL.
[[nodiscard]] std::string url_escape(std::string_view text);

}  // namespace chaos::ctl
