#include "support/udp.h"

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace chaos::test {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address parse(const std::string& text, std::uint16_t port) {
  Address address;
  if (text.contains(':')) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) != 1) throw std::runtime_error("address " + text);
    address.length = sizeof(*v6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) != 1) throw std::runtime_error("address " + text);
    address.length = sizeof(*v4);
  }
  return address;
}

}  // namespace

UdpSocket::UdpSocket(const std::string& address, std::uint16_t port) {
  const Address local = parse(address, port);
  fd_.reset(socket(local.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  const int buffer = 256 << 20;
  setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
  if (!fd_.valid() || bind(fd_.get(), local.get(), local.length) != 0) {
    throw std::runtime_error("bind " + address + ": " + std::strerror(errno));
  }
}

void UdpSocket::connect(const std::string& address, std::uint16_t port) {
  const Address peer = parse(address, port);
  if (::connect(fd_.get(), peer.get(), peer.length) != 0) throw std::runtime_error("connect " + address);
}

void UdpSocket::report_errors() {
  const int on = 1;
  setsockopt(fd_.get(), SOL_IP, IP_RECVERR, &on, sizeof(on));
  setsockopt(fd_.get(), SOL_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

UdpSocket::Sent UdpSocket::send_numbers(std::uint64_t first, std::uint64_t count, std::size_t size) {
  constexpr std::size_t kBatch = 64;
  Sent sent;
  std::vector<char> payload(kBatch * size);
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (std::uint64_t done = 0; done < count;) {
    const auto batch = static_cast<unsigned>(std::min<std::uint64_t>(kBatch, count - done));
    for (unsigned i = 0; i < batch; ++i) {
      const std::uint64_t number = first + done + i;
      std::memcpy(&payload[i * size], &number, sizeof(number));
      parts[i] = {&payload[i * size], size};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int accepted = sendmmsg(fd_.get(), messages.data(), batch, 0);
    if (accepted > 0) {
      sent.accepted += static_cast<unsigned>(accepted);
      done += static_cast<unsigned>(accepted);
    } else {
      ++sent.refused;
      ++done;
      sent.last_errno = errno;
    }
  }
  return sent;
}

std::uint64_t UdpSocket::drain(std::vector<bool>& seen) {
  constexpr std::size_t kBatch = 64;
  std::array<std::uint64_t, kBatch> numbers{};
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  std::uint64_t total = 0;
  while (true) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts[i] = {&numbers[i], sizeof(numbers[i])};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = recvmmsg(fd_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got <= 0) return total;
    for (int i = 0; i < got; ++i) {
      const std::uint64_t number = numbers[static_cast<std::size_t>(i)];
      if (number >= seen.size()) seen.resize(number + 1);
      seen[number] = true;
    }
    total += static_cast<unsigned>(got);
  }
}

std::uint32_t UdpSocket::drops() const {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof(info);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_MEMINFO, info.data(), &length) != 0) throw std::runtime_error("SO_MEMINFO");
  return info[SK_MEMINFO_DROPS];
}

}  // namespace chaos::test
