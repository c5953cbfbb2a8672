// How long it takes to make a TCP connection, by the client's own clock. Throws std::runtime_error.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

#include "support/tcp.h"

namespace chaos::test {

inline double ms_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - then).count();
}

/// From a namespace to an address, until the answer is there, in ms.
inline double connect_ms(const Namespace& from, const std::string& address, std::uint16_t port) {
  double took = 0;
  from.run([&] {
    const Address to(address, port);
    const UniqueFd client(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto began = std::chrono::steady_clock::now();
    if (connect(client.get(), to.get(), to.size) != 0) throw std::runtime_error("connect to " + address);
    took = ms_since(began);
  });
  return took;
}

}  // namespace chaos::test
