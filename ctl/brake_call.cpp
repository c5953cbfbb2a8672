#include "ctl/brake_call.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "base/units.h"
#include "ctl/brake_front.h"
#include "ctl/transport.h"

namespace chaos::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kAnswerLimit = std::size_t{1} << 20;

struct Call {
  const std::string& socket;
  milliseconds timeout;
  steady_clock::time_point until = steady_clock::now() + timeout;
  UniqueFd fd{};

  /// Until the descriptor is ready for `events`. Error: the daemon's silence.
  Outcome<void> wait(short events) const {
    for (;;) {
      const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now());
      if (left <= milliseconds(0)) return std::unexpected(silence_problem(socket, timeout));
      pollfd waited{fd.get(), events, 0};
      const int ready = ::poll(&waited, 1, static_cast<int>(left.count()));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return std::unexpected(broken_problem(socket, errno_name(errno)));
    }
  }

  Outcome<void> connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.empty() || socket.size() >= sizeof(address.sun_path)) return std::unexpected(socket_path_problem());
    std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
    fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // A full backlog (EAGAIN) has no event to wait for: ask again until the time is up.
    while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      if (errno != EAGAIN && errno != EINTR) return std::unexpected(connect_problem(errno, socket));
      if (steady_clock::now() >= until) return std::unexpected(silence_problem(socket, timeout));
      (void)::poll(nullptr, 0, 1);
    }
    return {};
  }

  Outcome<void> send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        if (auto ready = wait(POLLOUT); !ready) return ready;
      } else if (errno != EINTR) {
        // It may have refused before it had read everything: the answer says why.
        return {};
      }
    }
    return {};
  }

  /// Everything until the daemon closes: it was asked to.
  Outcome<std::string> receive() const {
    std::string answer;
    for (;;) {
      char buffer[16384];
      const ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
      if (got == 0) return answer;
      if (got > 0) {
        answer.append(buffer, static_cast<std::size_t>(got));
        if (answer.size() > kAnswerLimit) return std::unexpected(broken_problem(socket, "an answer without end"));
      } else if (errno == EAGAIN) {
        if (auto ready = wait(POLLIN); !ready) return std::unexpected(ready.error());
      } else if (errno != EINTR) {
        return std::unexpected(broken_problem(socket, errno_name(errno)));
      }
    }
  }
};

/// "HTTP/1.1 200 ..." (RFC 9112, section 4): the number, 0 if it is none.
long status_of(std::string_view answer) {
  constexpr std::string_view kVersion = "HTTP/1.";
  constexpr std::size_t kAt = kVersion.size() + 2;
  if (!answer.starts_with(kVersion) || answer.size() < kAt + 3) return 0;
  const auto status = parse_unsigned(answer.substr(kAt, 3));
  return status ? static_cast<long>(*status) : 0;
}

/// The connection on which the front program has asked `socket` already (front.cpp); invalid if there is none.
UniqueFd take_sent(std::string_view socket) {
  const char* value = std::getenv(kSentVariable);
  if (value == nullptr) return {};
  const std::string_view sent = value;
  const std::size_t colon = sent.find(':');
  if (colon == std::string_view::npos || sent.substr(colon + 1) != socket) return {};
  const auto number = parse_unsigned(sent.substr(0, colon));
  if (!number || *number <= STDERR_FILENO || *number > INT_MAX) return {};
  const int fd = static_cast<int>(*number);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return {};
  return UniqueFd(fd);
}

Outcome<void> ask(Call& call, const std::string& reason) {
  if (auto connected = call.connect(); !connected) return connected;
  const std::string body = Json{{"reason", reason}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  return call.send(fmt::format("{}{}\r\n\r\n{}", kBrakeHead, body.size(), body));
}

}  // namespace

Outcome<Json> brake_call(const std::string& socket, const std::string& reason, milliseconds timeout) {
  Call call{socket, timeout};
  call.fd = take_sent(socket);
  if (!call.fd.valid()) {
    if (auto asked = ask(call, reason); !asked) return std::unexpected(asked.error());
  }
  const Outcome<std::string> answer = call.receive();
  if (!answer) return std::unexpected(answer.error());
  constexpr std::string_view kHeadEnd = "\r\n\r\n";
  const std::size_t head = answer->find(kHeadEnd);
  const long status = status_of(*answer);
  if (head == std::string::npos || status == 0) return std::unexpected(broken_problem(socket, "no answer in HTTP"));
  return parse_answer(status, answer->substr(head + kHeadEnd.size()));
}

}  // namespace chaos::ctl
