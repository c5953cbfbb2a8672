#include "api/metrics_server.h"

#include <spdlog/spdlog.h>

#include "api/problem.h"
#include "api/tcp_socket.h"

namespace chaos {
namespace {

constexpr unsigned kScrapers = 16;

}  // namespace

Status MetricsServer::listen(const std::string& address, const HttpLimits& limits) {
  if (address == address_) return {};
  auto fresh = serve(address, limits);
  if (!fresh && fresh.error().code == Errc::kRefused && server_) {
    // It may be its own old listener that is in the way: the same port of every address.
    server_.reset();
    fresh = serve(address, limits);
    if (!fresh) {
      auto again = serve(address_, limits);
      if (again) {
        server_ = std::move(*again);
      } else {
        spdlog::error("metrics.listen: {} is no longer served: {}", address_, again.error().message);
        address_.clear();  // so that it is served once it is asked for again
      }
    }
  }
  if (!fresh) return std::unexpected(fresh.error());
  server_ = std::move(*fresh);
  address_ = address;
  return {};
}

/// Null for an empty address.
Result<std::unique_ptr<HttpServer>> MetricsServer::serve(const std::string& address, HttpLimits limits) {
  if (address.empty()) return std::unique_ptr<HttpServer>();
  auto socket = listen_on_tcp(address);
  if (!socket) return std::unexpected(socket.error());
  limits.clients = kScrapers;
  auto server = HttpServer::create(loop_, limits, {}, [this](const HttpRequest& request, Respond respond) {
    if (request.path == "/metrics") return handler_(request, std::move(respond));
    respond(problem_response(Error{Errc::kNotFound, "only /metrics is served here"}, request.request_id));
  });
  if (!server) return std::unexpected(server.error());
  if (Status status = (*server)->listen_for_anyone(std::move(*socket), address); !status) {
    return std::unexpected(status.error());
  }
  return std::move(*server);
}

}  // namespace chaos
