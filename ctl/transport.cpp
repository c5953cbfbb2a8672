#include "ctl/transport.h"

#include <sys/un.h>

#include <cerrno>

#include <fmt/format.h>

#include "ctl/text.h"

namespace chaos::ctl {
namespace {

constexpr long kConnectTimeoutMs = 2000;
constexpr int kPollMs = 1000;

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl()->multi_cleanup(multi); }
};

Error connect_error(int err, const std::string& socket) {
  switch (err) {
    case EACCES:
    case EPERM:
      return {Errc::kDenied,
              fmt::format("you may not open {}", socket),
              {},
              "root or group chaos operates, group chaos-view reads",
              "run as root, or have an administrator add you: usermod -aG chaos USER (then log in again)",
              err};
    case ENOENT:
      return {Errc::kUnreachable,
              fmt::format("the daemon is not running: there is no socket {}", socket),
              {},
              {},
              "start it (systemctl start chaosd), or name its socket with --socket or CHAOSD_SOCKET",
              err};
    case ECONNREFUSED:
      return {Errc::kUnreachable,
              fmt::format("the daemon is not running: nobody listens on {}", socket),
              {},
              {},
              "start it (systemctl start chaosd); journalctl -u chaosd tells why it ended",
              err};
    default:
      return {Errc::kUnreachable, fmt::format("cannot connect to {}: {}", socket, errno_name(err)), {}, {}, {}, err};
  }
}

}  // namespace

const Curl* curl() {
  const Result<const Curl*> loaded = Curl::load();
  return loaded ? *loaded : nullptr;
}

Problem no_curl() {
  const Result<const Curl*> loaded = Curl::load();
  return problem_from(loaded ? Error{Errc::kInternal, "libcurl has no memory for a request"} : loaded.error());
}

Outcome<void> prepare(const Curl& lib, CURL* easy, const std::string& socket, const std::string& path) {
  if (socket.empty() || socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return std::unexpected(socket_path_problem());
  }
  const std::string url = "http://localhost" + path;
  lib.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  lib.easy_setopt(easy, CURLOPT_URL, url.c_str());
  lib.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
  lib.easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  lib.easy_setopt(easy, CURLOPT_PROXY, "");  // http_proxy in the environment is not meant for this
  lib.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  lib.easy_setopt(easy, CURLOPT_USERAGENT, "chaosctl/" CHAOS_VERSION);
  lib.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  return {};
}

Problem socket_path_problem() {
  return problem(Errc::kInvalid, "the socket's path is empty or too long", "--socket",
                 fmt::format("1 to {} bytes (unix(7))", sizeof(sockaddr_un::sun_path) - 1))
      .error();
}

Problem connect_problem(int err, const std::string& socket) { return problem_from(connect_error(err, socket)); }

Problem silence_problem(const std::string& socket, std::chrono::milliseconds timeout) {
  return problem_from({Errc::kUnreachable,
                       fmt::format("the daemon on {} does not answer within {}", socket, span_text(timeout)),
                       {},
                       {},
                       "if it hangs, chaosctl emergency-stop (as root) ends it and every fault",
                       ETIMEDOUT});
}

Problem broken_problem(const std::string& socket, const std::string& how) {
  return problem_from({Errc::kUnreachable,
                       fmt::format("the daemon on {} broke off: {}", socket, how),
                       {},
                       {},
                       "journalctl -u chaosd tells more",
                       ECONNRESET});
}

CURLcode perform_until(const Curl& lib, CURL* easy, int interrupt_fd) {
  if (interrupt_fd < 0) return lib.easy_perform(easy);
  const std::unique_ptr<CURLM, MultiDeleter> multi(lib.multi_init());
  if (!multi) return CURLE_OUT_OF_MEMORY;
  lib.multi_add_handle(multi.get(), easy);
  CURLcode result = CURLE_OK;
  for (int running = 1;;) {
    lib.multi_perform(multi.get(), &running);
    if (running == 0) break;
    curl_waitfd interrupt{interrupt_fd, CURL_WAIT_POLLIN, 0};
    lib.multi_poll(multi.get(), &interrupt, 1, kPollMs, nullptr);
    if (interrupt.revents == 0) continue;
    result = CURLE_ABORTED_BY_CALLBACK;
    break;
  }
  int left = 0;
  const CURLMsg* message = lib.multi_info_read(multi.get(), &left);
  if (message != nullptr && result == CURLE_OK) result = message->data.result;
  lib.multi_remove_handle(multi.get(), easy);
  return result;
}

Problem interrupted_problem() {
  return {Exit::kInterrupted, {{"type", "about:blank"}, {"title", "Interrupted"}, {"detail", "interrupted"}}, 0};
}

Outcome<Json> parse_answer(long status, const std::string& body) {
  if (status < 200 || status >= 300) return std::unexpected(problem_from_response(status, body));
  if (body.empty()) return Json::object();
  Json document = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return problem(Errc::kInternal, "the daemon's answer is not JSON", {}, {},
                   "is this socket chaosd's, and of this version? chaosctl health tells");
  }
  return document;
}

Problem transport_problem(const Curl& lib, CURL* easy, CURLcode code, const std::string& socket,
                          std::chrono::milliseconds timeout) {
  if (code == CURLE_COULDNT_CONNECT) {
    long err = 0;
    lib.easy_getinfo(easy, CURLINFO_OS_ERRNO, &err);
    return connect_problem(static_cast<int>(err), socket);
  }
  if (code == CURLE_OPERATION_TIMEDOUT) return silence_problem(socket, timeout);
  return broken_problem(socket, lib.easy_strerror(code));
}

}  // namespace chaos::ctl
