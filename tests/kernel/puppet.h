// Processes that do what a test tells them, and who counts what they send.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/child.h"
#include "support/net.h"
#include "support/udp.h"

namespace chaos::test {

constexpr std::uint16_t kCounterPort = 6500;

/// A shell in a namespace that does what it is told, in processes of its own or by itself.
class Puppet {
 public:
  Puppet(const Namespace& ns, const std::string& program = "/bin/bash", const std::string& prefix = "")
      : child_(
            "/bin/sh",
            {"sh", "-c",
             "exec nsenter --net=/run/netns/" + ns.name() + " " + prefix + program +
                 " -c 'echo ready; while read -r line; do eval \"$line\" </dev/null >/dev/null 2>&1; echo $?; done'"}) {
    if (child_.read_line() != "ready") throw std::runtime_error("no puppet");
  }
  /// The exit status of a command.
  int tell(const std::string& command) {
    child_.write_line(command);
    return std::stoi(child_.read_line());
  }
  [[nodiscard]] pid_t pid() const { return child_.pid(); }

 private:
  Child child_;
};

/// Counts datagrams that arrive in the right host.
class Counter {
 public:
  explicit Counter(const VethPair& net) {
    net.right.run([this] {
      for (const char* address : {"10.77.0.2", "fd77::2"})
        sockets_.push_back(std::make_unique<UdpSocket>(address, kCounterPort));
    });
  }
  /// How many of `count` datagrams arrive that the puppet sends by itself to `address`.
  int arrivals(Puppet& puppet, const std::string& address, int count = 20) {
    drain();
    EXPECT_EQ(send(puppet, address, count), 0) << "the sender was told";
    return collect(count);
  }
  /// Whether all of a few datagrams arrive; the sender may be told that they do not.
  bool reached_by(Puppet& puppet, const std::string& address = "10.77.0.2") {
    constexpr int kFew = 5;
    drain();
    (void)send(puppet, address, kFew);
    return collect(kFew) == kFew;
  }
  /// Takes what has come; how many.
  int drain() {
    int got = 0;
    char byte = 0;
    for (const auto& socket : sockets_) {
      while (recv(socket->fd(), &byte, 1, MSG_DONTWAIT) > 0) ++got;
    }
    return got;
  }
  /// Datagrams that come within a moment, `count` at most; drain() first.
  int collect(int count) {
    int got = 0;
    eventually([&] { return (got += drain()) >= count; }, std::chrono::milliseconds(300));
    return got;
  }

 private:
  static int send(Puppet& puppet, const std::string& address, int count) {
    return puppet.tell("for i in {1.." + std::to_string(count) + "}; do echo x > /dev/udp/" + address + "/" +
                       std::to_string(kCounterPort) + "; done");
  }

  std::vector<std::unique_ptr<UdpSocket>> sockets_;
};

}  // namespace chaos::test
