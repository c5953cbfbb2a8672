// Stream: a numbered UDP stream between two namespaces and when its packets arrived; the outside observer of how fast a
// fault begins and ends. Sender and receiver are threads of the test, above the machine's other work where permitted.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/net.h"
#include "support/udp.h"

namespace chaos::test {

class Stream {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct End {
    const Namespace& ns;
    std::string address;
  };

  /// Packets with `interval` between them, to `port` from the same port, until the object goes.
  Stream(const End& from, const End& to, std::chrono::microseconds interval, std::uint16_t port = 5000);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// When the first packet after `since` arrived; waits for it until `limit` from now.
  [[nodiscard]] std::optional<Time> first_arrival(Time since, std::chrono::milliseconds limit) const;
  /// When the last packet arrived, if any did.
  [[nodiscard]] std::optional<Time> last_arrival() const;
  /// Waits until nothing has arrived for `span`, at most until `limit` from now; false if something kept coming.
  [[nodiscard]] bool falls_silent(std::chrono::milliseconds span, std::chrono::milliseconds limit) const;
  [[nodiscard]] std::uint64_t sent() const { return sent_.load(); }
  [[nodiscard]] std::uint64_t received() const;

 private:
  void send(std::chrono::microseconds interval);
  void receive();

  std::optional<UdpSocket> sender_;
  std::optional<UdpSocket> receiver_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> sent_{0};
  mutable std::mutex mutex_;
  std::vector<Time> arrivals_;
  std::vector<std::thread> threads_;
};

}  // namespace chaos::test
