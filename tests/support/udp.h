// UDP traffic with numbered packets: the outside observer of packet tests. Runs in the calling thread's namespace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

/// A bound UDP socket; `address` numeric, IPv4 or IPv6.
class UdpSocket {
 public:
  UdpSocket(const std::string& address, std::uint16_t port);
  void connect(const std::string& address, std::uint16_t port);
  /// Asks for ICMP errors and local drops as errors of later calls (IP_RECVERR, IPV6_RECVERR).
  void report_errors();
  /// Sends `count` datagrams whose first 8 bytes are the numbers from `first`, as fast as the socket takes them.
  /// Returns how many sends the kernel refused, with the errno of the last in `last_errno`.
  struct Sent {
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;
    int last_errno = 0;
  };
  Sent send_numbers(std::uint64_t first, std::uint64_t count, std::size_t size = 64);
  /// Takes what has arrived without waiting; marks number n in `seen` (grown as needed). Returns how many came.
  std::uint64_t drain(std::vector<bool>& seen);
  /// Datagrams that the socket itself dropped for want of buffer (SO_MEMINFO).
  [[nodiscard]] std::uint32_t drops() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace chaos::test
