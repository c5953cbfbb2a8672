// MetricsServer: /metrics over TCP, for whoever may connect; nothing else is served there. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/exchange.h"
#include "api/server.h"
#include "base/event_loop.h"
#include "base/result.h"

namespace chaos {

class MetricsServer {
 public:
  using Handler = std::function<void(const HttpRequest& request, Respond respond)>;
  /// `loop` must outlive it. `handler` gets requests of /metrics alone.
  MetricsServer(EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}

  /// Serves `address` (see listen_on_tcp) in place of the one before; an empty one: none. On error the one before is
  /// served as it was; should that fail as well, none, and the log says so. `limits`: of the API; fewer clients.
  /// Errors: kInvalid, kRefused (in use), kInternal.
  Status listen(const std::string& address, const HttpLimits& limits);

 private:
  Result<std::unique_ptr<HttpServer>> serve(const std::string& address, HttpLimits limits);

  EventLoop& loop_;
  const Handler handler_;
  std::string address_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace chaos
