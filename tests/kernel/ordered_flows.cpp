#include "ordered_flows.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/received_message.h"
#include "support/time_scale.h"
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
  std::optional<steady_clock::time_point> first;
  // One that may come twice is waited for a little longer.
  const auto done = [&] {
    if (sending) return false;
    return steady_clock::now() - last >
           (result.received == spec.packets ? std::chrono::milliseconds(100) : spec.patience * time_scale());
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
      if (!first) first = last;
      result.span = last - *first;
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

std::int64_t nanoseconds_of(const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; }

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

std::vector<double> one_way_delays(const VethPair& net, std::uint64_t packets, std::chrono::microseconds pace) {
  constexpr std::uint16_t kFlows = 512;
  constexpr std::uint16_t kPort = 6000;
  std::vector<std::unique_ptr<UdpSocket>> senders;
  std::unique_ptr<UdpSocket> receiver;
  net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", kPort); });
  net.left.run([&] {
    for (std::uint16_t i = 0; i < kFlows; ++i) {
      senders.push_back(std::make_unique<UdpSocket>("10.77.0.1", static_cast<std::uint16_t>(10'000 + i)));
      senders.back()->connect("10.77.0.2", kPort);
    }
  });
  const int on = 1;
  if (setsockopt(receiver->fd(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
    throw std::runtime_error("ask for time stamps");
  }
  std::vector<std::int64_t> sent(packets);
  std::vector<double> delays;
  std::atomic<bool> sending{true};
  std::thread receiving([&] {
    for (auto last = steady_clock::now(); sending || steady_clock::now() - last < std::chrono::milliseconds(700);) {
      const auto message = ReceivedMessage::wait(receiver->fd(), std::chrono::milliseconds(20));
      if (!message || message->data().size() < 8) continue;
      std::uint64_t number = 0;
      std::memcpy(&number, message->data().data(), sizeof number);
      last = steady_clock::now();
      const auto at = message->control<timespec>(SOL_SOCKET, SO_TIMESTAMPNS);
      if (number < packets && at) delays.push_back(static_cast<double>(nanoseconds_of(*at) - sent[number]) / 1e6);
    }
  });
  auto next = steady_clock::now();
  for (std::uint64_t i = 0; i < packets; ++i, next += pace) {
    std::this_thread::sleep_until(next);
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    sent[i] = nanoseconds_of(now);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    (void)senders[i % kFlows]->send_numbers(i, 1);
  }
  sending = false;
  receiving.join();
  return delays;
}

}  // namespace chaos::test
