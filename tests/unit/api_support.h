// For tests of daemon/api: an EventLoop in a thread, a server on a real Unix socket, and clients that see every byte.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "api/server.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace chaos::test {

/// Longer than anything here takes; a test that waits this long has failed.
inline constexpr std::chrono::seconds kPatience{60};

class LoopThread {
 public:
  LoopThread();
  ~LoopThread();

  [[nodiscard]] EventLoop& loop() { return *loop_; }
  /// Runs `job` on the loop and waits for its result.
  template <class Job>
  auto call(Job job) {
    std::packaged_task<decltype(job())()> task(std::move(job));
    auto result = task.get_future();
    loop_->post([task = std::move(task)]() mutable { task(); });
    return result.get();
  }
  /// Until `condition`, asked on the loop after everything that was posted before. False after kPatience.
  bool wait_until(const std::function<bool()>& condition);

 private:
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

struct Reply {
  int status = 0;  ///< 0: the connection ended without one
  std::map<std::string, std::string> headers;
  std::string body;
};

/// A blocking HTTP client that sends what it is told.
class RawClient {
 public:
  explicit RawClient(const std::string& path);

  [[nodiscard]] bool connected() const { return fd_.valid(); }
  /// False if the server has closed.
  bool send(std::string_view bytes);
  /// The next reply, with its body if it has a length or is chunked.
  Reply read_reply();
  /// All that comes until `text` has come (inclusive), across chunk borders; what came until the end if it does not.
  std::string read_until(std::string_view text);
  /// True if the server closes the connection; what it sends until then is skipped.
  bool wait_for_end();
  void close() { fd_.reset(); }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  bool fill();
  std::optional<std::string> take_line();
  std::string take(std::size_t size);

  UniqueFd fd_;
  std::string buffer_;
};

using HeaderList = std::vector<std::pair<std::string, std::string>>;
std::string request_text(std::string_view method, std::string_view target, std::string_view body = {},
                         const HeaderList& headers = {});
/// One request on a connection of its own.
Reply ask(const std::string& path, std::string_view method, std::string_view target, std::string_view body = {},
          const HeaderList& headers = {});

/// As another user, in a child process; needs root.
Reply ask_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::string& path, std::string_view request);

/// A server whose handler a test provides, on a socket that anybody may connect to.
class TestServer {
 public:
  explicit TestServer(Handler handler, HttpLimits limits = {}, RoleGroups groups = {});
  ~TestServer();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& view_path() const { return view_path_; }
  [[nodiscard]] LoopThread& thread() { return thread_; }
  [[nodiscard]] std::size_t connections();
  HttpServer& server() { return *server_; }
  /// Ends the server, as the daemon does at its end.
  void destroy();

 private:
  TempDir directory_;
  std::string path_;
  std::string view_path_;
  LoopThread thread_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace chaos::test
