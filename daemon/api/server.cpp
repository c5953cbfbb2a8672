#include "api/server.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/exchange.h"
#include "base/ulid.h"

namespace chaos {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// A body over the limit is read and thrown away up to here, so that a client that writes before it reads gets to see
// the 413: closing a Unix socket with unread data resets it. Bounded in time by HttpLimits::timeout.
constexpr std::size_t kDrainBytes = 64 * 1024 * 1024;
// MHD's pool for one connection: headers up to the limit, and a read buffer. What does not fit gets MHD's own 431.
constexpr std::size_t kPoolReserve = 48 * 1024;
constexpr std::size_t kStreamBlock = 8 * 1024;

struct Connection {
  int fd = -1;
  Peer peer;
  std::size_t uri_bytes = 0;
  std::shared_ptr<Exchange> exchange;
  std::shared_ptr<ByteStream> stream;
  bool stream_suspended = false;
  std::function<void()> resume;
  bool kept_alive = false;             ///< has had a request
  std::optional<SteadyTime> deadline;  ///< while a request is expected or coming in
};

/// What MHD's reader callback of a streamed response needs; MHD frees it.
struct StreamReader {
  MHD_Connection* connection;
  Connection* state;
  std::shared_ptr<ByteStream> stream;
};

ssize_t read_stream(void* cls, std::uint64_t, char* buffer, std::size_t max) noexcept {
  auto* reader = static_cast<StreamReader*>(cls);
  if (const std::size_t size = reader->stream->read(buffer, max); size > 0) return static_cast<ssize_t>(size);
  if (reader->stream->aborted()) return MHD_CONTENT_READER_END_WITH_ERROR;
  if (reader->stream->finished()) return MHD_CONTENT_READER_END_OF_STREAM;
  reader->state->stream_suspended = true;
  MHD_suspend_connection(reader->connection);
  return 0;
}

void free_stream(void* cls) noexcept { std::unique_ptr<StreamReader>(static_cast<StreamReader*>(cls)); }

MHD_Response* streamed_response(MHD_Connection* connection, Connection& state, std::shared_ptr<ByteStream> stream) {
  state.stream = stream;
  stream->on_change([&state] {
    // One that does not read would keep MHD waiting for room in the socket: end it there.
    if (state.stream->aborted()) (void)::shutdown(state.fd, SHUT_RDWR);
    if (std::exchange(state.stream_suspended, false)) state.resume();
  });
  auto reader = std::make_unique<StreamReader>(connection, &state, std::move(stream));
  auto* response =
      MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, kStreamBlock, read_stream, reader.get(), free_stream);
  if (response != nullptr) (void)reader.release();
  return response;
}

MHD_Result queue(MHD_Connection* connection, Connection& state, HttpResponse response, const std::string& request_id) {
  MHD_Response* out =
      response.stream != nullptr
          ? streamed_response(connection, state, std::move(response.stream))
          : MHD_create_response_from_buffer(response.body.size(), response.body.data(), MHD_RESPMEM_MUST_COPY);
  if (out == nullptr) return MHD_NO;
  for (const auto& [name, value] : response.headers) (void)MHD_add_response_header(out, name.c_str(), value.c_str());
  (void)MHD_add_response_header(out, "X-Request-Id", request_id.c_str());
  (void)MHD_add_response_header(out, "Cache-Control", "no-store");
  (void)MHD_add_response_header(out, "X-Content-Type-Options", "nosniff");
  const auto result = MHD_queue_response(connection, static_cast<unsigned>(response.status), out);
  MHD_destroy_response(out);
  return result;
}

MHD_Result collect_header(void* cls, MHD_ValueKind, const char* key, const char* value) noexcept {
  auto& headers = *static_cast<std::map<std::string, std::string>*>(cls);
  std::string name(key);
  std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  auto [entry, fresh] = headers.try_emplace(std::move(name));
  if (!fresh) entry->second += ", ";
  if (value != nullptr) entry->second += value;
  return MHD_YES;
}

MHD_Result collect_query(void* cls, MHD_ValueKind, const char* key, const char* value) noexcept {
  auto& query = *static_cast<std::map<std::string, std::string>*>(cls);
  query[key] = value == nullptr ? "" : value;
  return MHD_YES;
}

MHD_Result count_header(void* cls, MHD_ValueKind, const char* key, const char* value) noexcept {
  constexpr std::size_t kSeparators = 4;  // ": " and CR LF
  *static_cast<std::size_t*>(cls) += std::strlen(key) + (value == nullptr ? 0 : std::strlen(value)) + kSeparators;
  return MHD_YES;
}

Caller nobody() {
  constexpr uid_t kNobody = 65534;  // fs/overflowuid
  return {.uid = kNobody, .gid = kNobody, .pid = 0, .login_uid = {}, .user = "nobody", .comm = {}};
}

}  // namespace

struct HttpServer::Impl {
  class Port;

  EventLoop& loop;
  HttpLimits limits;
  RoleGroups groups;
  Handler handler;
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  std::vector<std::shared_ptr<Port>> ports;
};

/// One socket with its MHD daemon. The static functions are MHD's callbacks; `cls` is the Port.
class HttpServer::Impl::Port : public std::enable_shared_from_this<Port> {
 public:
  Port(Impl& server, UnixListener listener, std::string name, bool view_only)
      : server_(server), listener_(std::move(listener)), name_(std::move(name)), view_only_(view_only) {}
  Port(Impl& server, UniqueFd for_anyone, std::string name)
      : server_(server), for_anyone_(std::move(for_anyone)), name_(std::move(name)), view_only_(true) {}
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  Status start();
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  static void on_connection(void* cls, MHD_Connection* connection, void** context,
                            MHD_ConnectionNotificationCode code) noexcept;
  static void* on_uri(void* cls, const char* uri, MHD_Connection* connection) noexcept;
  static MHD_Result on_request(void* cls, MHD_Connection* connection, const char* url, const char* method,
                               const char* version, const char* data, std::size_t* size, void** context) noexcept;
  static void on_completed(void* cls, MHD_Connection* connection, void** context,
                           MHD_RequestTerminationCode code) noexcept;

  MHD_Result begin(MHD_Connection* connection, Connection& state, const char* url, const char* method);
  MHD_Result take_body(Exchange& exchange, const char* data, std::size_t* size) const;
  MHD_Result finish(MHD_Connection* connection, Connection& state);
  void pump();
  void pump_soon();
  void resume(MHD_Connection* connection);
  void expect_request(Connection& state);
  void close_overdue();

  Impl& server_;
  std::optional<UnixListener> listener_;  ///< either this
  UniqueFd for_anyone_;                   ///< or this
  std::string name_;
  bool view_only_;
  MHD_Daemon* daemon_ = nullptr;
  std::unordered_map<MHD_Connection*, std::unique_ptr<Connection>> connections_;
  EventLoop::SourcePtr readable_;
  EventLoop::SourcePtr mhd_timer_;
  EventLoop::SourcePtr deadline_timer_;
  bool deadline_armed_ = false;
  bool pump_posted_ = false;
};

HttpServer::Impl::Port::~Port() {
  readable_.reset();
  if (daemon_ == nullptr) return;
  // MHD aborts the process if it is stopped with suspended connections.
  for (const auto& [connection, state] : connections_) {
    if (state->exchange != nullptr) state->exchange->wake();
    if (std::exchange(state->stream_suspended, false)) state->resume();
  }
  MHD_stop_daemon(daemon_);
}

Status HttpServer::Impl::Port::start() {
  // MHD closes its listening socket when it stops: it gets a copy.
  UniqueFd copy(::fcntl(listener_ ? listener_->fd() : for_anyone_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return fail_errno("dup of a listening socket");
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(server_.limits.timeout).count();
  daemon_ = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, &Port::on_request, this,  //
                             MHD_OPTION_LISTEN_SOCKET, copy.get(),                                                    //
                             MHD_OPTION_CONNECTION_LIMIT, server_.limits.clients,                                     //
                             MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned>(std::max<std::int64_t>(seconds, 1)),
                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, server_.limits.header_bytes + kPoolReserve,  //
                             MHD_OPTION_NOTIFY_CONNECTION, &Port::on_connection, this,                        //
                             MHD_OPTION_URI_LOG_CALLBACK, &Port::on_uri, this,                                //
                             MHD_OPTION_NOTIFY_COMPLETED, &Port::on_completed, this,                          //
                             MHD_OPTION_END);
  if (daemon_ == nullptr) return fail_errno("MHD_start_daemon on " + name_);
  (void)copy.release();

  const auto* info = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == nullptr) return fail(Errc::kInternal, "libmicrohttpd has no epoll support");
  auto readable = server_.loop.add_io(info->epoll_fd, EPOLLIN, [this](std::uint32_t) { pump(); });
  if (!readable) return std::unexpected(std::move(readable.error()));
  readable_ = std::move(*readable);
  auto mhd_timer = server_.loop.add_timer(std::chrono::nanoseconds(0), [this] { pump(); });
  if (!mhd_timer) return std::unexpected(std::move(mhd_timer.error()));
  mhd_timer_ = std::move(*mhd_timer);
  auto deadline_timer = server_.loop.add_timer(server_.limits.timeout, [this] { close_overdue(); });
  if (!deadline_timer) return std::unexpected(std::move(deadline_timer.error()));
  deadline_timer_ = std::move(*deadline_timer);
  deadline_armed_ = true;
  return {};
}

void HttpServer::Impl::Port::pump() {
  const std::size_t before = connections_.size();
  (void)MHD_run(daemon_);
  // At its limit MHD stops to accept, and looks again only when it is run.
  if (connections_.size() < before) pump_soon();
  MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
  if (MHD_get_timeout(daemon_, &timeout_ms) == MHD_YES) mhd_timer_->rearm(std::chrono::milliseconds(timeout_ms));
}

void HttpServer::Impl::Port::pump_soon() {
  // Resuming does not make MHD's epoll fd readable: without a thread of its own MHD has no eventfd in it.
  if (std::exchange(pump_posted_, true)) return;
  server_.loop.post([weak = weak_from_this()] {
    const auto port = weak.lock();
    if (port == nullptr) return;
    port->pump_posted_ = false;
    port->pump();
  });
}

void HttpServer::Impl::Port::resume(MHD_Connection* connection) {
  MHD_resume_connection(connection);
  pump_soon();
}

void HttpServer::Impl::Port::expect_request(Connection& state) {
  state.deadline = std::chrono::steady_clock::now() + server_.limits.timeout;
  if (!std::exchange(deadline_armed_, true)) deadline_timer_->rearm(server_.limits.timeout);
}

void HttpServer::Impl::Port::close_overdue() {
  // MHD's own timeout starts anew with every byte, which a slow client can keep up for ever. What has come in while
  // the loop was busy counts as in time.
  pump();
  const auto now = std::chrono::steady_clock::now();
  std::optional<SteadyTime> next;
  for (const auto& [connection, state] : connections_) {
    if (!state->deadline) continue;
    if (*state->deadline <= now) {
      state->deadline.reset();
      (void)::shutdown(state->fd, SHUT_RDWR);
    } else {
      next = next ? std::min(*next, *state->deadline) : *state->deadline;
    }
  }
  deadline_armed_ = next.has_value();
  if (next) deadline_timer_->rearm(*next - now);
}

void HttpServer::Impl::Port::on_connection(void* cls, MHD_Connection* connection, void**,
                                           MHD_ConnectionNotificationCode code) noexcept {
  auto* port = static_cast<Port*>(cls);
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    port->connections_.erase(connection);
    return;
  }
  auto state = std::make_unique<Connection>();
  state->resume = [port, connection] { port->resume(connection); };
  state->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  if (port->for_anyone_.valid()) {
    state->peer.caller = nobody();
    port->expect_request(*state);
  } else if (auto peer = identify_peer(state->fd)) {
    state->peer = std::move(*peer);
    port->expect_request(*state);
  } else {
    (void)::shutdown(state->fd, SHUT_RDWR);
  }
  port->connections_[connection] = std::move(state);
}

void* HttpServer::Impl::Port::on_uri(void* cls, const char* uri, MHD_Connection* connection) noexcept {
  auto* port = static_cast<Port*>(cls);
  Connection& state = *port->connections_.at(connection);
  state.uri_bytes = std::strlen(uri);
  // An idle connection may be near its deadline when its next request starts.
  if (state.kept_alive) port->expect_request(state);
  return nullptr;
}

MHD_Result HttpServer::Impl::Port::on_request(void* cls, MHD_Connection* connection, const char* url,
                                              const char* method, const char*, const char* data, std::size_t* size,
                                              void**) noexcept {
  auto* port = static_cast<Port*>(cls);
  Connection& state = *port->connections_.at(connection);
  if (state.exchange == nullptr) return port->begin(connection, state, url, method);
  if (*size > 0) return port->take_body(*state.exchange, data, size);
  return port->finish(connection, state);
}

MHD_Result HttpServer::Impl::Port::begin(MHD_Connection* connection, Connection& state, const char* url,
                                         const char* method) {
  state.exchange = std::make_shared<Exchange>();
  Exchange& exchange = *state.exchange;
  exchange.mailbox = server_.mailbox;
  exchange.request_id = make_ulid();
  HttpRequest& request = exchange.request;
  request.method = method;
  request.path = url;
  request.caller = state.peer.caller;
  request.role = for_anyone_.valid() ? Role::kView : role_of(state.peer, server_.groups);
  request.view_only = view_only_;
  request.socket = name_;
  request.request_id = exchange.request_id;

  std::size_t header_bytes = state.uri_bytes;
  (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &header_bytes);
  if (header_bytes > server_.limits.header_bytes) {
    return queue(connection, state, headers_too_large(server_.limits, exchange.request_id), exchange.request_id);
  }
  (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, collect_header, &request.headers);
  (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_query, &request.query);

  const std::size_t length = content_length(request);
  exchange.too_large = length > server_.limits.body_bytes;
  const bool asks_first = request.headers.contains("expect");
  if (exchange.too_large && (asks_first || length > kDrainBytes)) {
    return queue(connection, state, body_too_large(server_.limits, exchange.request_id), exchange.request_id);
  }
  return MHD_YES;
}

MHD_Result HttpServer::Impl::Port::take_body(Exchange& exchange, const char* data, std::size_t* size) const {
  exchange.received += *size;
  if (exchange.received > server_.limits.body_bytes) exchange.too_large = true;
  if (exchange.received > kDrainBytes) return MHD_NO;
  if (exchange.too_large) {
    std::string().swap(exchange.request.body);
  } else {
    exchange.request.body.append(data, *size);
  }
  *size = 0;
  return MHD_YES;
}

MHD_Result HttpServer::Impl::Port::finish(MHD_Connection* connection, Connection& state) {
  const auto exchange = state.exchange;
  if (!std::exchange(exchange->dispatched, true)) {
    state.deadline.reset();
    if (exchange->too_large) {
      exchange->response = body_too_large(server_.limits, exchange->request_id);
    } else {
      server_.handler(exchange->request, Answer(exchange));
    }
  }
  if (exchange->response) {
    return queue(connection, state, std::move(*exchange->response), exchange->request_id);
  }
  // MHD then calls on_request again, which queues the response.
  exchange->resume = state.resume;
  MHD_suspend_connection(connection);
  return MHD_YES;
}

void HttpServer::Impl::Port::on_completed(void* cls, MHD_Connection* connection, void**,
                                          MHD_RequestTerminationCode) noexcept {
  auto* port = static_cast<Port*>(cls);
  const auto found = port->connections_.find(connection);
  if (found == port->connections_.end()) return;
  Connection& state = *found->second;
  if (const auto exchange = std::exchange(state.exchange, nullptr)) exchange->gone = true;
  if (const auto stream = std::exchange(state.stream, nullptr)) stream->reader_leaves();
  state.stream_suspended = false;
  state.kept_alive = true;
  port->expect_request(state);
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::create(EventLoop& loop, HttpLimits limits, RoleGroups groups,
                                                       Handler handler) {
  auto impl = std::make_unique<Impl>(loop, limits, groups, std::move(handler));
  impl->mailbox->loop = &loop;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::~HttpServer() {
  {
    const std::lock_guard lock(impl_->mailbox->mutex);
    impl_->mailbox->loop = nullptr;
  }
  impl_->ports.clear();
}

Status HttpServer::listen(UnixListener listener, std::string name, bool view_only) {
  auto port = std::make_shared<Impl::Port>(*impl_, std::move(listener), std::move(name), view_only);
  if (auto status = port->start(); !status) return status;
  impl_->ports.push_back(std::move(port));
  return {};
}

Status HttpServer::listen_for_anyone(UniqueFd listener, std::string name) {
  auto port = std::make_shared<Impl::Port>(*impl_, std::move(listener), std::move(name));
  if (auto status = port->start(); !status) return status;
  impl_->ports.push_back(std::move(port));
  return {};
}

void HttpServer::set_groups(RoleGroups groups) { impl_->groups = groups; }

std::size_t HttpServer::connections() const {
  std::size_t count = 0;
  for (const auto& port : impl_->ports) count += port->connections();
  return count;
}

}  // namespace chaos
