#include "bench/tcp_transfer.h"

#include <arpa/inet.h>
// Not netinet/tcp.h: its tcp_info ends before the byte counts.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "bench/harness.h"

namespace chaos::bench {
namespace {

constexpr std::size_t kChunk = 128 * 1024;
constexpr const char* kReceiver = "10.78.0.2";

[[noreturn]] void fail_with(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

sockaddr_in receiver_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kTransferPort);
  address.sin_addr.s_addr = inet_addr(kReceiver);
  return address;
}

/// Calls do not wait longer than this, so that both ends see when it is over.
void limit_waits(int fd) {
  const timeval limit{.tv_sec = 0, .tv_usec = 100'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

UniqueFd open_socket(const std::string& congestion_control) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) fail_with("socket");
  if (setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, congestion_control.c_str(),
                 static_cast<socklen_t>(congestion_control.size())) != 0) {
    fail_with("congestion control " + congestion_control);
  }
  return fd;
}

UniqueFd listen_on(const std::string& congestion_control) {
  UniqueFd fd = open_socket(congestion_control);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const sockaddr_in address = receiver_address();
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 || listen(fd.get(), 1) != 0) {
    fail_with("listen");
  }
  limit_waits(fd.get());
  return fd;
}

/// Takes and discards what comes over one connection.
void receive(int listener, const std::atomic<bool>& over) {
  UniqueFd connection;
  while (!connection.valid() && !over.load()) connection.reset(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return;
  limit_waits(connection.get());
  std::vector<char> buffer(kChunk);
  while (!over.load()) {
    if (recv(connection.get(), buffer.data(), buffer.size(), MSG_TRUNC) == 0) return;
  }
}

Transfer send_all(int fd, double seconds) {
  using Clock = std::chrono::steady_clock;
  const std::vector<char> chunk(kChunk);
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  while (Clock::now() < end) {
    check_interrupted();
    if (send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) fail_with("send");
  }
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) fail_with("TCP_INFO");
  const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  std::array<char, 16> name{};
  length = name.size();
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &length) != 0) fail_with("TCP_CONGESTION");
  Transfer result;
  result.mbit_per_second = static_cast<double>(info.tcpi_bytes_acked) * 8 / elapsed / 1e6;
  result.segments_sent = info.tcpi_data_segs_out;
  result.retransmits = info.tcpi_total_retrans;
  result.smallest_rtt_ms = info.tcpi_min_rtt / 1000.0;
  result.congestion_control = name.data();
  return result;
}

}  // namespace

Transfer transfer(const test::Namespace& left, const test::Namespace& right, const std::string& congestion_control,
                  double seconds) {
  UniqueFd listener;
  right.run([&] { listener = listen_on(congestion_control); });
  std::atomic<bool> over{false};
  std::thread receiver([&] { receive(listener.get(), over); });
  Transfer result;
  std::exception_ptr error;
  try {
    left.run([&] {
      const UniqueFd fd = open_socket(congestion_control);
      const sockaddr_in address = receiver_address();
      if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) fail_with("connect");
      limit_waits(fd.get());
      result = send_all(fd.get(), seconds);
      // Reset instead of an orderly end: the next transfer shall not share the link with what is still queued.
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    });
  } catch (...) {
    error = std::current_exception();
  }
  over.store(true);
  receiver.join();
  if (error) std::rethrow_exception(error);
  return result;
}

}  // namespace chaos::bench
