#include "ctl/transport.h"

#include <sys/un.h>

#include <cerrno>

#include <fmt/format.h>

#include "ctl/text.h"

namespace chaos::ctl {
namespace {

constexpr long kConnectTimeoutMs = 2000;

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

CURL* new_easy() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  return initialised == CURLE_OK ? curl_easy_init() : nullptr;
}

Outcome<void> prepare(CURL* easy, const std::string& socket, const std::string& path) {
  if (socket.empty() || socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return problem(Errc::kInvalid, "the socket's path is empty or too long", "--socket",
                   fmt::format("1 to {} bytes (unix(7))", sizeof(sockaddr_un::sun_path) - 1));
  }
  const std::string url = "http://localhost" + path;
  curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // http_proxy in the environment is not meant for this
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "chaosctl/" CHAOS_VERSION);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  return {};
}

Problem transport_problem(CURL* easy, CURLcode code, const std::string& socket, std::chrono::milliseconds timeout) {
  if (code == CURLE_COULDNT_CONNECT) {
    long err = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &err);
    return problem_from(connect_error(static_cast<int>(err), socket));
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return problem_from({Errc::kUnreachable,
                         fmt::format("the daemon on {} does not answer within {}", socket, span_text(timeout)),
                         {},
                         {},
                         "if it hangs, chaosctl emergency-stop (as root) ends it and every fault",
                         ETIMEDOUT});
  }
  return problem_from({Errc::kUnreachable,
                       fmt::format("the daemon on {} broke off: {}", socket, curl_easy_strerror(code)),
                       {},
                       {},
                       "journalctl -u chaosd tells more",
                       ECONNRESET});
}

}  // namespace chaos::ctl
