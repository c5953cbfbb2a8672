// Receiver: a small HTTP server on the loopback, one request a connection, with answers of the test's choosing. For
// what chaosd sends by itself. Needs no privilege.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

class Receiver {
 public:
  struct Request {
    std::string head;  ///< request line and header fields
    std::string body;
  };
  /// The whole answer to the n-th request, counted from 0; empty: none, and the connection stays open.
  using Answer = std::function<std::string(std::size_t n)>;

  [[nodiscard]] static std::string status(int code, const std::string& headers = "", const std::string& body = "") {
    return "HTTP/1.1 " + std::to_string(code) + " x\r\nConnection: close\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  explicit Receiver(Answer answer = [](std::size_t) { return status(200); })
      : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), generic, &length) != 0) {
      throw std::runtime_error("listen on the loopback");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  [[nodiscard]] std::string url(const std::string& path = "/hook") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  /// Waits until there have been `count` requests; those so far.
  [[nodiscard]] std::vector<Request> requests(std::size_t count,
                                              std::chrono::milliseconds limit = std::chrono::seconds(10)) const {
    std::unique_lock lock(mutex_);
    (void)more_.wait_for(lock, limit, [&] { return requests_.size() >= count; });
    return requests_;
  }
  [[nodiscard]] std::vector<std::string> bodies(std::size_t count) const {
    std::vector<std::string> all;
    for (const Request& request : requests(count)) all.push_back(request.body);
    return all;
  }

 private:
  void serve() {
    while (true) {
      UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      Request request;
      if (!read_request(connection.get(), request)) continue;
      std::size_t number = 0;
      {
        const std::lock_guard lock(mutex_);
        number = requests_.size();
        requests_.push_back(std::move(request));
      }
      more_.notify_all();
      const std::string text = answer_(number);
      if (text.empty()) {
        hanging_.push_back(std::move(connection));
      } else {
        (void)::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
      }
    }
  }

  static bool read_request(int fd, Request& request) {
    std::string text;
    char buffer[4096];
    while (true) {
      if (const auto end = text.find("\r\n\r\n"); end != std::string::npos) {
        request.head = text.substr(0, end);
        request.body = text.substr(end + 4);
        if (request.body.size() >= content_length(request.head)) return true;
      }
      const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
      if (got <= 0) return false;
      text.append(buffer, static_cast<std::size_t>(got));
    }
  }
  static std::size_t content_length(const std::string& head) {
    const char* field = ::strcasestr(head.c_str(), "\r\nContent-Length:");
    return field != nullptr ? std::stoul(field + sizeof("\r\nContent-Length:") - 1) : 0;
  }

  Answer answer_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable more_;
  std::vector<Request> requests_;
  std::vector<UniqueFd> hanging_;
  std::thread thread_;
};

}  // namespace chaos::test
