#include "bench/line_probes.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <ctime>
#include <stdexcept>
#include <thread>

#include "base/unique_fd.h"
#include "support/received_message.h"
#include "support/udp.h"

namespace chaos::bench {
namespace {

using test::UdpSocket;

std::int64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

/// When the kernel received the next packet (CLOCK_REALTIME).
std::int64_t receive_time(const UdpSocket& socket, std::chrono::milliseconds patience) {
  const auto message = test::ReceivedMessage::wait(socket.fd(), patience);
  if (!message) throw std::runtime_error("a probe was lost");
  const auto at = message->control<timespec>(SOL_SOCKET, SO_TIMESTAMPNS);
  if (!at) throw std::runtime_error("a probe without a time stamp");
  return at->tv_sec * 1'000'000'000LL + at->tv_nsec;
}

double timer_lateness_us(int epoll, std::chrono::nanoseconds delay) {
  const std::int64_t due = read_clock(CLOCK_MONOTONIC) + delay.count();
  // As the line waits: until it is time, however often it wakes up before.
  for (std::int64_t left = delay.count(); left > 0; left = due - read_clock(CLOCK_MONOTONIC)) {
    const timespec wait{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    epoll_event event{};
    (void)epoll_pwait2(epoll, &event, 1, &wait, nullptr);
  }
  return static_cast<double>(read_clock(CLOCK_MONOTONIC) - due) / 1000;
}

}  // namespace

Hogs::Hogs(bool any) {
  for (unsigned i = 0; any && i < std::thread::hardware_concurrency(); ++i) {
    hogs_.push_back(std::make_unique<test::Child>(
        "/usr/bin/setpriv",
        std::vector<std::string>{"setpriv", "--pdeathsig", "KILL", "sh", "-c", "while :; do :; done"}));
  }
}

Lateness probe_lateness(const test::VethPair& net, std::chrono::microseconds delay, unsigned count) {
  Lateness result;
  std::unique_ptr<UdpSocket> sender;
  std::unique_ptr<UdpSocket> receiver;
  net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", kProbePort); });
  net.left.run([&] { sender = std::make_unique<UdpSocket>("10.77.0.1", 5000); });
  sender->connect("10.77.0.2", kProbePort);
  const int on = 1;
  if (setsockopt(receiver->fd(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
    throw std::runtime_error("ask for time stamps");
  }
  prctl(PR_SET_TIMERSLACK, 1UL);
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(delay) + std::chrono::seconds(1);
  for (unsigned i = 0; i < count; ++i) {
    const std::int64_t sent = read_clock(CLOCK_REALTIME);
    if (send(sender->fd(), "probe", 5, 0) != 5) throw std::runtime_error("send a probe");
    const std::int64_t due = sent + std::chrono::nanoseconds(delay).count();
    result.line_us.push_back(static_cast<double>(receive_time(*receiver, patience) - due) / 1000);
    result.timer_us.push_back(timer_lateness_us(epoll.get(), delay));
  }
  return result;
}

Flood run_flood(const test::VethPair& net, std::uint16_t port, double seconds) {
  Flood flood;
  std::unique_ptr<UdpSocket> sender;
  std::unique_ptr<UdpSocket> receiver;
  net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", port); });
  net.left.run([&] { sender = std::make_unique<UdpSocket>("10.77.0.1", 5000); });
  sender->connect("10.77.0.2", port);
  std::atomic<bool> sending{true};
  std::thread receiving([&] {
    std::array<mmsghdr, 64> messages{};
    std::array<std::array<char, 64>, 64> buffers{};
    std::array<iovec, 64> parts{};
    for (std::size_t i = 0; i < messages.size(); ++i) {
      parts[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (auto last = std::chrono::steady_clock::now();
         sending || std::chrono::steady_clock::now() - last < std::chrono::milliseconds(200);) {
      pollfd waiting{receiver->fd(), POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const int got = recvmmsg(receiver->fd(), messages.data(), messages.size(), MSG_DONTWAIT, nullptr);
      if (got <= 0) continue;
      flood.received += static_cast<unsigned>(got);
      last = std::chrono::steady_clock::now();
    }
  });
  std::thread flooding([&] {
    const std::int64_t began = read_clock(CLOCK_MONOTONIC);
    const std::int64_t cpu_before = read_clock(CLOCK_THREAD_CPUTIME_ID);
    const auto until = began + static_cast<std::int64_t>(seconds * 1e9);
    while (read_clock(CLOCK_MONOTONIC) < until) flood.sent += sender->send_numbers(flood.sent, 64, 22).accepted;
    flood.seconds = static_cast<double>(read_clock(CLOCK_MONOTONIC) - began) / 1e9;
    flood.cpu_seconds = static_cast<double>(read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu_before) / 1e9;
  });
  flooding.join();
  sending = false;
  receiving.join();
  flood.dropped = receiver->drops();
  return flood;
}

}  // namespace chaos::bench
