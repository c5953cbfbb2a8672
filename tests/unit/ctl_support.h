// For the tests of chaosctl: a scratch directory, a tiny HTTP server on a Unix socket that plays the daemon, and
// running the command line in-process or as the real binary.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "ctl/problem.h"

namespace chaos::test {

class ScratchDir {
 public:
  ScratchDir();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_text(const std::filesystem::path& path, std::string_view text);
[[nodiscard]] std::string read_text(const std::filesystem::path& path);

struct FakeRequest {
  std::string method;
  std::string path;
  std::string head;  ///< request line and headers
  std::string body;
};

struct FakeReply {
  enum class Kind {
    kAnswer,  ///< a complete response
    kStream,  ///< the body begins a stream that stays open
    kClosed,  ///< the body is all of a stream
    kSilent,  ///< nothing, with the connection left open
    kBroken,  ///< the connection is closed without an answer
  };
  int status = 200;
  std::string body = "{}";
  Kind kind = Kind::kAnswer;
};

/// Serves on one thread; the handler runs there. Requests are kept.
class FakeDaemon {
 public:
  using Handler = std::function<FakeReply(const FakeRequest&)>;
  FakeDaemon(std::filesystem::path socket, Handler handler);
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  [[nodiscard]] std::string socket() const { return socket_.string(); }
  [[nodiscard]] std::vector<FakeRequest> requests() const;
  /// The last request to `path`; fails the test if there was none.
  [[nodiscard]] FakeRequest last(std::string_view path) const;
  /// Until a request to `path` has come in. False after 20 s.
  [[nodiscard]] bool wait_for(std::string_view path) const;

 private:
  struct Connection;
  void serve();
  void answer(Connection& connection);

  std::filesystem::path socket_;
  Handler handler_;
  UniqueFd listener_;
  UniqueFd wake_;
  mutable std::mutex mutex_;
  mutable std::condition_variable arrived_;
  std::vector<FakeRequest> requests_;
  bool stopping_ = false;
  std::thread thread_;
};

struct Ran {
  int exit = -1;
  std::string out;
  std::string err;
};

/// `chaosctl args...` in this process.
[[nodiscard]] Ran run_ctl(std::vector<std::string> args, bool tty = false);
/// As run_ctl, with `--socket SOCKET` in front.
[[nodiscard]] Ran run_ctl_on(const FakeDaemon& daemon, std::vector<std::string> args, bool tty = false);

/// A child process; killed and reaped at the end of its scope.
class Child {
 public:
  /// Output goes to files `out` and `err` in `dir`.
  Child(std::vector<std::string> argv, const std::filesystem::path& dir);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Waits for its end: exit code, or 128 + signal.
  int wait();

 private:
  pid_t pid_ = -1;
};

/// Clears an environment variable for a scope, or sets it.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value);
  ~ScopedEnv();
  ScopedEnv(const ScopedEnv&) = delete;
  ScopedEnv& operator=(const ScopedEnv&) = delete;

 private:
  const char* name_;
  std::string before_;
  bool was_set_ = false;
};

/// A test with a fake daemon that answers by "METHOD PATH"; anything else is 404.
class FakeDaemonTest : public testing::Test {
 protected:
  void answer(const std::string& request, std::string_view body, int status = 200,
              FakeReply::Kind kind = FakeReply::Kind::kAnswer) {
    const std::lock_guard lock(mutex_);
    replies_[request] = {status, std::string(body), kind};
  }
  Ran run(std::vector<std::string> args, bool tty = false) { return run_ctl_on(daemon_, std::move(args), tty); }
  ctl::Json sent_to(std::string_view path) { return ctl::Json::parse(daemon_.last(path).body); }

  ScopedEnv no_socket_{"CHAOSD_SOCKET", nullptr};
  ScopedEnv no_color_{"NO_COLOR", nullptr};
  ScratchDir dir_;
  std::mutex mutex_;
  std::map<std::string, FakeReply> replies_;
  FakeDaemon daemon_{dir_ / "chaosd.sock", [this](const FakeRequest& request) {
                       const std::lock_guard lock(mutex_);
                       const auto found = replies_.find(request.method + " " + request.path);
                       return found != replies_.end() ? found->second : FakeReply{404, R"({"detail":"no such"})"};
                     }};
};

/// What GET /api/chaos/kinds and a scenario of the daemon look like.
[[nodiscard]] std::string kinds_body();
[[nodiscard]] std::string scenario_body(std::string_view state, std::string_view end_reason = "");
inline constexpr std::string_view kScenarioId = "01J8Z3Q4R5S6T7V8W9XAYBZCDE";

}  // namespace chaos::test
