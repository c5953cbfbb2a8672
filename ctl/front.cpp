// The program that users call: a few pages of static code that become chaosctl proper (main.cpp) at once. Loading the
// libraries of that one takes longer than a whole emergency stop may, so the request of an emergency stop goes out from
// here, and chaosctl proper reads the answer. Everything else is not looked at.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "ctl/brake_front.h"

namespace {

using chaos::ctl::FrontMessage;
using chaos::ctl::FrontRequest;

/// A connection with the whole request in it; -1 if there is none, and then nothing was asked.
int send_ahead(const FrontRequest& request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const FrontMessage message(request.reason);
  if (message.text().empty() || request.socket.size() >= sizeof(address.sun_path)) return -1;
  std::memcpy(address.sun_path, request.socket.data(), request.socket.size());
  // Not close-on-exec: chaosctl proper takes it over.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      ::send(fd, message.text().data(), message.text().size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(message.text().size())) {
    return fd;
  }
  ::close(fd);
  return -1;
}

/// "FD:SOCKET", so that chaosctl proper sees that it means the same one.
void tell(int fd, std::string_view socket) {
  char text[16 + sizeof(sockaddr_un::sun_path)]{};
  char* end = std::to_chars(text, text + 16, fd).ptr;
  *end++ = ':';
  std::memcpy(end, socket.data(), socket.size());
  ::setenv(chaos::ctl::kSentVariable, text, 1);
}

/// Where chaosctl proper lies, seen from this program's own place: DIR/../libexec/chaosd/chaosctl-main. False: too
/// long, or /proc is not there.
bool find_proper(char* path, std::size_t size) {
  constexpr std::string_view kProper = "/../" CHAOS_LIBEXEC "/chaosd/chaosctl-main";
  const ssize_t length = ::readlink("/proc/self/exe", path, size);
  if (length <= 0 || static_cast<std::size_t>(length) >= size) return false;
  path[length] = '\0';
  char* slash = std::strrchr(path, '/');
  if (slash == nullptr || static_cast<std::size_t>(slash - path) + kProper.size() >= size) return false;
  std::memcpy(slash, kProper.data(), kProper.size());
  slash[kProper.size()] = '\0';
  return true;
}

void complain(const char* path) {
  const char* why = std::strerror(errno);
  for (const char* part : {"chaosctl: cannot run ", path, ": ", why, "; install chaosd anew\n"}) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // Nobody but us may say so.
  ::unsetenv(chaos::ctl::kSentVariable);
  if (argc > 1) {
    const auto request =
        chaos::ctl::front_request({argv + 1, static_cast<std::size_t>(argc - 1)}, std::getenv("CHAOSD_SOCKET"));
    const int fd = request ? send_ahead(*request) : -1;
    if (fd >= 0) tell(fd, request->socket);
  }
  char path[4096];
  if (!find_proper(path, sizeof(path))) std::strcpy(path, CHAOS_PROPER);
  ::execv(path, argv);
  complain(path);
  return 1;
}
