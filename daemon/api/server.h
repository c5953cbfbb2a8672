// HttpServer: HTTP/1.1 on Unix sockets by libmicrohttpd, one MHD daemon a socket, on the EventLoop. Loop thread, or
// before the loop runs and after it has ended. The answer functions that it hands out may outlive it.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "api/http.h"
#include "api/identity.h"
#include "api/unix_socket.h"
#include "base/event_loop.h"
#include "base/result.h"

namespace chaos {

struct HttpLimits {
  std::size_t body_bytes = 64 * 1024;    ///< more: 413
  std::size_t header_bytes = 16 * 1024;  ///< request line and header fields; more: 431
  /// For a whole request to come in, from its first byte (on a new connection: from accept), for an idle connection,
  /// and for a client that does not read. Then the connection is closed.
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  unsigned clients = 512;  ///< a socket; more wait in the backlog
};

class HttpServer {
 public:
  /// `handler` gets every complete request within the limits; who may do what is its business.
  static Result<std::unique_ptr<HttpServer>> create(EventLoop& loop, HttpLimits limits, RoleGroups groups,
                                                    Handler handler);
  /// Closes all connections; requests that still wait for an answer get none.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Serves one more socket. `name` goes to the audit log; `view_only` marks its requests.
  Status listen(UnixListener listener, std::string name, bool view_only);
  /// A TCP socket that listens. Whoever comes may view, and is nobody.
  Status listen_for_anyone(UniqueFd listener, std::string name);
  /// For connections made from now on.
  void set_groups(RoleGroups groups);
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
