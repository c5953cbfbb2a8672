// Socket addresses from text, and TCP servers of tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdexcept>
#include <string>

#include "base/unique_fd.h"
#include "support/net.h"

namespace chaos::test {

/// A numeric IPv4 or IPv6 address with a port.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  Address(const std::string& text, std::uint16_t port) {
    if (text.contains(':')) {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr);
      size = sizeof(*v6);
    } else {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      inet_pton(AF_INET, text.c_str(), &v4->sin_addr);
      size = sizeof(*v4);
    }
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// A TCP server on all addresses of a namespace, both families; nobody accepts, which the kernel does not mind.
inline UniqueFd listen_in(const Namespace& ns, std::uint16_t port) {
  UniqueFd fd;
  ns.run([&] {
    fd.reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const Address any("::", port);
    if (bind(fd.get(), any.get(), any.size) != 0 || listen(fd.get(), 1024) != 0) throw std::runtime_error("listen");
  });
  return fd;
}

}  // namespace chaos::test
