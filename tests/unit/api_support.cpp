#include "api_support.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace chaos::test {

LoopThread::LoopThread() : loop_(std::move(EventLoop::create().value())) {
  thread_ = std::thread([this] { EXPECT_TRUE(loop_->run().has_value()); });
}

LoopThread::~LoopThread() {
  loop_->post([this] { loop_->quit(); });
  thread_.join();
}

bool LoopThread::wait_until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (call(condition)) return true;
    std::this_thread::yield();
  }
  return false;
}

RawClient::RawClient(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) fd_ = std::move(fd);
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawClient::fill() {
  std::array<char, 16 * 1024> chunk;
  const ssize_t got = ::recv(fd_.get(), chunk.data(), chunk.size(), 0);
  if (got <= 0) return false;
  buffer_.append(chunk.data(), static_cast<std::size_t>(got));
  return true;
}

std::optional<std::string> RawClient::take_line() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

std::string RawClient::take(std::size_t size) {
  while (buffer_.size() < size && fill()) {
  }
  std::string text = buffer_.substr(0, size);
  buffer_.erase(0, text.size());
  return text;
}

Reply RawClient::read_reply() {
  Reply reply;
  const auto status_line = take_line();
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (!status_line || !status_line->starts_with(kVersion)) return reply;
  std::from_chars(status_line->data() + kVersion.size(), status_line->data() + status_line->size(), reply.status);
  if (reply.status == 100) {
    (void)take_line();
    return read_reply();
  }
  for (auto line = take_line(); line && !line->empty(); line = take_line()) {
    const auto colon = line->find(": ");
    if (colon == std::string::npos) continue;
    std::string name = line->substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    reply.headers[name] = line->substr(colon + 2);
  }
  if (const auto length = reply.headers.find("content-length"); length != reply.headers.end()) {
    reply.body = take(std::stoul(length->second));
  }
  if (reply.headers["transfer-encoding"] == "chunked" && reply.headers["content-type"] != "text/event-stream") {
    for (auto size = take_line(); size && *size != "0"; size = take_line()) {
      reply.body += take(std::stoul(*size, nullptr, 16));
      (void)take_line();
    }
    (void)take_line();
  }
  return reply;
}

std::string RawClient::read_until(std::string_view text) {
  std::string seen;
  while (seen.find(text) == std::string::npos) {
    const auto size = take_line();
    if (size && *size == "0") (void)take_line();
    if (!size || *size == "0") break;
    seen += take(std::stoul(*size, nullptr, 16));
    (void)take_line();
  }
  return seen;
}

bool RawClient::wait_for_end() {
  buffer_.clear();
  while (fill()) buffer_.clear();
  return errno != EAGAIN;
}

std::string request_text(std::string_view method, std::string_view target, std::string_view body,
                         const HeaderList& headers) {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

Reply ask(const std::string& path, std::string_view method, std::string_view target, std::string_view body,
          const HeaderList& headers) {
  RawClient client(path);
  if (!client.connected()) return {};
  client.send(request_text(method, target, body, headers));
  return client.read_reply();
}

Reply ask_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::string& path,
             std::string_view request) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return {};
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    Reply reply;
    if (::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(gid, gid, gid) == 0 &&
        ::setresuid(uid, uid, uid) == 0) {
      RawClient client(path);
      if (client.connected() && client.send(request)) reply = client.read_reply();
    }
    (void)!::write(writer.get(), &reply.status, sizeof reply.status);
    (void)!::write(writer.get(), reply.body.data(), reply.body.size());
    ::_exit(0);
  }
  writer.reset();
  Reply reply;
  (void)!::read(reader.get(), &reply.status, sizeof reply.status);
  std::array<char, 4096> chunk;
  for (ssize_t got = 0; (got = ::read(reader.get(), chunk.data(), chunk.size())) > 0;) {
    reply.body.append(chunk.data(), static_cast<std::size_t>(got));
  }
  (void)::waitpid(child, nullptr, 0);
  return reply;
}

TestServer::TestServer(Handler handler, HttpLimits limits, RoleGroups groups)
    : path_(directory_.path() / "chaosd.sock"), view_path_(directory_.path() / "chaosd-view.sock") {
  (void)::chmod(directory_.path().c_str(), 0755);
  thread_.call([&] {
    server_ = std::move(HttpServer::create(thread_.loop(), limits, groups, std::move(handler)).value());
    for (const auto& path : {path_, view_path_}) {
      auto listener = bind_unix_socket(path, 0660, "");
      ASSERT_TRUE(listener.has_value()) << listener.error().message;
      (void)::chmod(path.c_str(), 0666);
      const auto status = server_->listen(std::move(*listener), path, path == view_path_);
      ASSERT_TRUE(status.has_value()) << status.error().message;
    }
  });
}

TestServer::~TestServer() { destroy(); }

void TestServer::destroy() {
  thread_.call([this] { server_.reset(); });
}

std::size_t TestServer::connections() {
  return thread_.call([this] { return server_->connections(); });
}

}  // namespace chaos::test
