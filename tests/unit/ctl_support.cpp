#include "ctl_support.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <list>
#include <sstream>

#include <fmt/format.h>

#include "ctl/app.h"

namespace chaos::test {

ScratchDir::ScratchDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "chaosctl-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
  path_ = pattern;
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_text(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct FakeDaemon::Connection {
  UniqueFd fd;
  std::string input{};
  bool streaming = false;
  bool silent = false;
  bool done = false;
};

FakeDaemon::FakeDaemon(std::filesystem::path socket, Handler handler)
    : socket_(std::move(socket)),
      handler_(std::move(handler)),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      wake_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket_.string();
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("too long for a socket: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), 16) != 0) {
    throw std::runtime_error("bind " + path);
  }
  thread_ = std::thread([this] { serve(); });
}

FakeDaemon::~FakeDaemon() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);
}

std::vector<FakeRequest> FakeDaemon::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

FakeRequest FakeDaemon::last(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(requests_.rbegin(), requests_.rend(), path, &FakeRequest::path);
  if (found == requests_.rend()) {
    ADD_FAILURE() << "no request to " << path;
    return {};
  }
  return *found;
}

bool FakeDaemon::wait_for(std::string_view path) const {
  std::unique_lock lock(mutex_);
  return arrived_.wait_for(lock, std::chrono::seconds(20),
                           [&] { return std::ranges::find(requests_, path, &FakeRequest::path) != requests_.end(); });
}

void FakeDaemon::serve() {
  std::list<Connection> connections;
  for (;;) {
    std::vector<pollfd> waits{{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    for (const Connection& connection : connections) waits.push_back({connection.fd.get(), POLLIN, 0});
    ::poll(waits.data(), waits.size(), -1);
    if (waits[1].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(wake_.get(), &count);
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    std::size_t i = 2;
    for (Connection& connection : connections) {
      if (waits[i++].revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t got = ::read(connection.fd.get(), buffer.data(), buffer.size());
      if (got <= 0) {
        connection.done = true;
      } else {
        connection.input.append(buffer.data(), static_cast<std::size_t>(got));
        answer(connection);
      }
    }
    connections.remove_if([](const Connection& connection) { return connection.done; });
    if (waits[0].revents != 0) {
      connections.push_back({UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))});
    }
  }
}

void FakeDaemon::answer(Connection& connection) {
  const std::size_t head_end = connection.input.find("\r\n\r\n");
  if (head_end == std::string::npos || connection.streaming || connection.silent) return;
  FakeRequest request;
  request.head = connection.input.substr(0, head_end);
  std::size_t length = 0;
  constexpr std::string_view kLength = "Content-Length: ";
  if (const std::size_t at = request.head.find(kLength); at != std::string::npos) {
    std::from_chars(request.head.data() + at + kLength.size(), request.head.data() + request.head.size(), length);
  }
  if (connection.input.size() < head_end + 4 + length) return;
  request.body = connection.input.substr(head_end + 4, length);
  connection.input.erase(0, head_end + 4 + length);
  std::istringstream(request.head) >> request.method >> request.path;

  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  arrived_.notify_all();
  const FakeReply reply = handler_(request);
  std::string text;
  if (reply.kind == FakeReply::Kind::kAnswer) {
    text = fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", reply.status,
                       reply.body.size(), reply.body);
  } else if (reply.kind == FakeReply::Kind::kStream || reply.kind == FakeReply::Kind::kClosed) {
    text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + reply.body;
  }
  ::send(connection.fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
  connection.streaming = reply.kind == FakeReply::Kind::kStream;
  connection.silent = reply.kind == FakeReply::Kind::kSilent;
  // HTTP/1.0 keeps no connection (RFC 9112, section 9.3).
  const bool kept = !request.head.substr(0, request.head.find('\r')).ends_with("HTTP/1.0");
  connection.done = reply.kind == FakeReply::Kind::kClosed || reply.kind == FakeReply::Kind::kBroken ||
                    (reply.kind == FakeReply::Kind::kAnswer && !kept);
}

Ran run_ctl(std::vector<std::string> args, bool tty) {
  std::ostringstream out;
  std::ostringstream err;
  const int exit = ctl::run(args, {out, err, tty});
  return {exit, out.str(), err.str()};
}

Ran run_ctl_on(const FakeDaemon& daemon, std::vector<std::string> args, bool tty) {
  args.insert(args.begin(), {"--socket", daemon.socket()});
  return run_ctl(std::move(args), tty);
}

Child::Child(std::vector<std::string> argv, const std::filesystem::path& dir) {
  std::vector<char*> raw;
  for (std::string& word : argv) raw.push_back(word.data());
  raw.push_back(nullptr);
  const UniqueFd out(::open((dir / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const UniqueFd err(::open((dir / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  pid_ = ::fork();
  if (pid_ == 0) {
    ::signal(SIGINT, SIG_DFL);  // a shell's background job would ignore it
    ::dup2(out.get(), STDOUT_FILENO);
    ::dup2(err.get(), STDERR_FILENO);
    ::execv(raw[0], raw.data());
    ::_exit(127);
  }
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

int Child::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

ScopedEnv::ScopedEnv(const char* name, const char* value) : name_(name) {
  if (const char* before = std::getenv(name); before != nullptr) {
    before_ = before;
    was_set_ = true;
  }
  if (value != nullptr) {
    ::setenv(name, value, 1);
  } else {
    ::unsetenv(name);
  }
}

ScopedEnv::~ScopedEnv() {
  if (was_set_) {
    ::setenv(name_, before_.c_str(), 1);
  } else {
    ::unsetenv(name_);
  }
}

std::string kinds_body() {
  return R"({"kinds":[
    {"name":"packet_loss","help":"Lose packets","ownership":"file_descriptor","targets":["interface","netns","peer","port"],
     "features":["tcx"],
     "parameters":[{"name":"probability","type":"probability","help":"Share of packets lost","minimum":"0%",
                    "maximum":"100%","severity":{"1":"1%","5":"50%"}},
                   {"name":"model","type":"choice","help":"How losses are spread","choices":["random","per_flow"],
                    "default":"random"}]},
    {"name":"latency_injection","help":"Delay packets","ownership":"file_descriptor","targets":["interface"],
     "features":[],"parameters":[{"name":"delay","type":"duration","help":"By how much"}]}],
    "common_parameters":[{"name":"max_events","type":"integer","help":"Budget","minimum":"1"}]})";
}

std::string scenario_body(std::string_view state, std::string_view end_reason) {
  return fmt::format(
      R"json({{"id":"{}","state":"{}","end_reason":"{}","kind":"packet_loss","target":{{"interface":"eth1","port":["80","443"]}},)json"
      R"json("parameters":{{"probability":"10%"}},"severity":2,"duration":"5m","seed":"42","reason":"drill","mode":"armed",)json"
      R"json("owner":{{"uid":0,"user":"root","login_uid":1000,"comm":"chaosctl"}},)json"
      R"json("plan":{{"ownership":"file_descriptor","mechanism":"tcx egress and ingress, tail call",)json"
      R"json("interfaces":["eth1 (ifindex 5)"],"peers":["10.0.0.2/32"],"parameters":{{"probability":"10%"}},"notes":["n1"]}},)json"
      R"json("created_at":"2026-11-24T06:34:37.000Z","started_at":"2026-11-24T06:34:37.100Z",)json"
      R"json("ends_at":"2026-11-24T06:39:37.100Z",)json"
      R"json("counters":{{"evaluated":110,"unmatched":10,"matched":100,"injected":9,"not_sampled":88,"spared_protected":3,)json"
      R"json("spared_budget":0,"spared_expired":0,"over_limit":0}},"achieved":{{"probability":"9.3%"}},"warnings":["w1"]}})json",
      kScenarioId, state, end_reason);
}

}  // namespace chaos::test
