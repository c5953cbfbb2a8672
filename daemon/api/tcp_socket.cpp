#include "api/tcp_socket.h"

#include <netdb.h>
#include <sys/socket.h>

#include <memory>

namespace chaos {

Result<UniqueFd> listen_on_tcp(const std::string& address) {
  constexpr int kBacklog = 16;
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return fail(Errc::kInvalid, "\"" + address + "\" has no port");
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  addrinfo wanted{};
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST;
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  const int code =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), address.substr(colon + 1).c_str(), &wanted, &raw);
  if (code != 0) {
    return fail(Errc::kInvalid, address + ": " + ::gai_strerror(code), {},
                "an IP address, localhost or nothing, and a port", "write 127.0.0.1:PORT or [::1]:PORT");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(raw, ::freeaddrinfo);
  UniqueFd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("socket for " + address);
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    const int err = errno;
    if (err == EADDRINUSE) return fail(Errc::kRefused, address + " is in use", {}, {}, "choose another port");
    return fail_errno("listen on " + address, err);
  }
  return fd;
}

}  // namespace chaos
