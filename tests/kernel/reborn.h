// A process that gets a number that another had: the stranger whom no scenario may touch.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/unique_fd.h"
#include "puppet.h"
#include "support/net.h"

namespace chaos::test {

/// A process of a given number, which nobody may have: in a namespace, it sends a datagram each time that it is told.
class Reborn {
 public:
  Reborn(pid_t number, const Namespace& ns) {
    const UniqueFd home(open(("/run/netns/" + ns.name()).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<int, 2> commands{};
    if (home.get() < 0 || pipe2(commands.data(), O_CLOEXEC) != 0) throw std::runtime_error("no way to tell it");
    const UniqueFd orders(commands[0]);
    commands_.reset(commands[1]);
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(kCounterPort), .sin_addr = {}, .sin_zero = {}};
    inet_pton(AF_INET, "10.77.0.2", &to.sin_addr);
    clone_args how{};
    how.exit_signal = SIGCHLD;
    how.set_tid = reinterpret_cast<std::uintptr_t>(&number);
    how.set_tid_size = 1;
    // The number is free once its last owner is waited for, or an instant later.
    const bool made =
        eventually([&] { return (pid_ = static_cast<pid_t>(syscall(SYS_clone3, &how, sizeof(how)))) >= 0; });
    if (!made) throw std::runtime_error("no process of that number");
    if (pid_ != 0) return;
    // The child of a process with threads: nothing but system calls from here.
    close(commands_.get());
    char order = 0;
    if (setns(home.get(), CLONE_NEWNET) != 0) _exit(1);
    while (read(orders.get(), &order, 1) == 1) {
      const int fd = socket(AF_INET, SOCK_DGRAM, 0);
      sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
      close(fd);
    }
    _exit(0);
  }
  ~Reborn() {
    commands_.reset();
    waitpid(pid_, nullptr, 0);
  }
  Reborn(const Reborn&) = delete;
  Reborn& operator=(const Reborn&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  void send(std::size_t count) const {
    const std::string orders(count, 's');
    if (write(commands_.get(), orders.data(), count) != static_cast<ssize_t>(count)) throw std::runtime_error("deaf");
  }

 private:
  UniqueFd commands_;
  pid_t pid_ = -1;
};

}  // namespace chaos::test
