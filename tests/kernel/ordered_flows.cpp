#include "ordered_flows.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/udp.h"

namespace chaos::test {
namespace {

using std::chrono::steady_clock;

void receive(const UdpSocket& socket, const OrderedSpec& spec, const std::atomic<bool>& sending,
             OrderedResult& result) {
  std::vector<bool> seen(spec.packets);
  std::uint64_t highest = 0;
  std::array<unsigned char, 2048> buffer{};
  auto last = steady_clock::now();
  // One that may come twice is waited for a little longer.
  const auto done = [&] {
    if (sending) return false;
    return steady_clock::now() - last >
           (result.received == spec.packets ? std::chrono::milliseconds(100) : spec.patience);
  };
  while (!done()) {
    pollfd waiting{socket.fd(), POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) {
      if (sending) last = steady_clock::now();
      continue;
    }
    while (recv(socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) >= 8) {
      std::uint64_t number = 0;
      std::memcpy(&number, buffer.data(), sizeof number);
      last = steady_clock::now();
      if (number >= spec.packets) continue;
      if (seen[number]) {
        ++result.repeated;
        continue;
      }
      seen[number] = true;
      ++result.received;
      if (number < highest) ++result.inversions;
      highest = std::max(highest, number);
    }
  }
  result.socket_drops = socket.drops();
}

void send(UdpSocket& socket, const OrderedSpec& spec, OrderedResult& result) {
  constexpr std::uint64_t kBurst = 16;
  auto next = steady_clock::now();
  for (std::uint64_t first = 0; first < spec.packets; first += kBurst) {
    std::this_thread::sleep_until(next);
    const std::uint64_t count = std::min(kBurst, spec.packets - first);
    result.sent += socket.send_numbers(first, count, spec.size).accepted;
    next += spec.pace * kBurst;
  }
}

}  // namespace

std::vector<OrderedResult> run_ordered(const VethPair& net, const std::vector<OrderedSpec>& flows) {
  std::vector<OrderedResult> results(flows.size());
  std::vector<std::string> errors(flows.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < flows.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        std::unique_ptr<UdpSocket> sender;
        std::unique_ptr<UdpSocket> receiver;
        net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", flows[i].port); });
        net.left.run([&] { sender = std::make_unique<UdpSocket>("10.77.0.1", flows[i].source_port); });
        sender->connect("10.77.0.2", flows[i].port);
        std::atomic<bool> sending{true};
        std::thread receiving([&] { receive(*receiver, flows[i], sending, results[i]); });
        OrderedResult mine;
        send(*sender, flows[i], mine);
        sending = false;
        receiving.join();
        results[i].sent = mine.sent;
      } catch (const std::exception& error) {
        errors[i] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) {
    if (!error.empty()) throw std::runtime_error(error);
  }
  return results;
}

}  // namespace chaos::test
