// ReceivedMessage: what recvmsg(2) brought, with what the kernel says beside it. Throws std::runtime_error.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>

namespace chaos::test {

class ReceivedMessage {
 public:
  /// The next that comes to a socket, its first 2048 bytes; empty if none does in time.
  static std::optional<ReceivedMessage> wait(int fd, std::chrono::milliseconds patience) {
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return std::nullopt;
    ReceivedMessage got;
    iovec part{got.buffers_->data.data(), got.buffers_->data.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = got.buffers_->control.data();
    message.msg_controllen = got.buffers_->control.size();
    const ssize_t size = recvmsg(fd, &message, 0);
    if (size < 0) throw std::runtime_error("recvmsg");
    got.size_ = static_cast<std::size_t>(size);
    got.control_size_ = message.msg_controllen;
    return got;
  }

  [[nodiscard]] std::span<const unsigned char> data() const { return std::span(buffers_->data).first(size_); }
  /// What the socket was asked to tell beside it; empty if that is not there.
  template <class T>
  [[nodiscard]] std::optional<T> control(int level, int type) const {
    msghdr message{};
    message.msg_control = buffers_->control.data();
    message.msg_controllen = control_size_;
    for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
      if (item->cmsg_level != level || item->cmsg_type != type || item->cmsg_len < CMSG_LEN(sizeof(T))) continue;
      T value{};
      std::memcpy(&value, CMSG_DATA(item), sizeof value);
      return value;
    }
    return std::nullopt;
  }

 private:
  struct Buffers {
    std::array<unsigned char, 2048> data{};
    alignas(cmsghdr) std::array<char, 256> control{};
  };
  ReceivedMessage() : buffers_(std::make_unique<Buffers>()) {}
  std::unique_ptr<Buffers> buffers_;
  std::size_t size_ = 0;
  std::size_t control_size_ = 0;
};

}  // namespace chaos::test
