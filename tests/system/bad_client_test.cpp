// Clients that misbehave, and clients that may not: the daemon answers as it should, stays up and serves the others.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// Sends what it is told, whole or not.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("connect to " + path + ": " + std::strerror(errno));
    }
  }
  /// False once the other side has closed.
  [[nodiscard]] bool send(std::string_view text) const {
    return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  /// All that comes until the other side closes; nullopt if it has not after `limit`.
  [[nodiscard]] std::optional<std::string> read_to_end(milliseconds limit) const {
    std::string text;
    const auto end = steady_clock::now() + limit;
    while (true) {
      const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
      pollfd readable{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left <= 0 || poll(&readable, 1, static_cast<int>(left)) <= 0) return std::nullopt;
      char buffer[4096];
      const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), 0);
      if (got <= 0) return text;
      text.append(buffer, static_cast<std::size_t>(got));
    }
  }

 private:
  UniqueFd fd_;
};

constexpr const char* kHalfHeaders = "POST /api/chaos/scenarios HTTP/1.1\r\nHost: chaosd\r\nContent-Le";
constexpr const char* kHalfBody =
    "POST /api/chaos/scenarios HTTP/1.1\r\nHost: chaosd\r\nContent-Length: 100\r\n\r\n{\"kind\": \"packet_loss\",";
constexpr milliseconds kTimeout{700};

class BadClient : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    Daemon::Setup setup;
    // Two groups that every Debian has.
    setup.config = "api: {request_timeout: 700ms, operate_group: daemon, view_group: games}\n";
    setup.prepare = [](const std::filesystem::path& directory) { chmod(directory.c_str(), 0711); };
    daemon_ = std::make_unique<Daemon>(setup);
    ASSERT_TRUE(daemon_->get("/api/chaos/scenarios?all=true").body.at("scenarios").empty());
  }
  void TearDown() override { daemon_.reset(); }

  void expect_unharmed() const {
    const Response all = daemon_->get("/api/chaos/scenarios?all=true");
    ASSERT_EQ(all.status, 200) << daemon_->log();
    EXPECT_TRUE(all.body.at("scenarios").empty()) << all.text;
    EXPECT_TRUE(bpf_objects_of(daemon_->pid()).links.empty());
  }
  [[nodiscard]] std::size_t open_files() const {
    const std::filesystem::directory_iterator files("/proc/" + std::to_string(daemon_->pid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }
  /// HTTP status that a process of user nobody gets; 0 if it cannot even connect. `groups` as for setpriv(1).
  [[nodiscard]] static int status_for_nobody(const std::string& groups, const std::string& socket,
                                             const std::string& request) {
    const Outcome outcome = try_shell("setpriv --reuid=65534 " + groups + " curl -s -o /dev/null -w '%{http_code}' " +
                                      "--unix-socket " + socket + " " + request);
    return outcome.status == 7 ? 0 : std::stoi(outcome.output);
  }

  std::unique_ptr<Daemon> daemon_;
};

TEST_F(BadClient, BodyOfTenMegabytes) {
  const std::string body = "{\"reason\": \"" + std::string(10 << 20, 'x') + "\"}";
  for (const char* expect : {"Expect: 100-continue", "Expect:"}) {
    for (const char* path : {"/api/chaos/scenarios", "/api/chaos/plan", "/api/log-level", "/api/chaos/rearm"}) {
      const Response response = http(daemon_->socket(), "POST", path, body, {expect});
      EXPECT_EQ(response.status, 413) << expect << ' ' << path << ' ' << response.text;
      EXPECT_FALSE(response.body.value("rule", "").empty()) << response.text;
      EXPECT_FALSE(response.body.value("detail", "").empty()) << response.text;
    }
  }
  EXPECT_LE(status_kb(daemon_->pid(), "VmHWM"), 40U * 1024) << "such a body must not be kept";
  expect_unharmed();
}

TEST_F(BadClient, HalfARequestThatEnds) {
  for (const char* half : {"", "P", kHalfHeaders, kHalfBody}) {
    const RawClient client(daemon_->socket());
    EXPECT_TRUE(client.send(half));
  }
  expect_unharmed();
}

TEST_F(BadClient, HalfARequestThatWaitsIsClosed) {
  for (const char* half : {"", "P", kHalfHeaders, kHalfBody}) {
    const RawClient client(daemon_->socket());
    const auto begin = steady_clock::now();
    EXPECT_TRUE(client.send(half));
    EXPECT_EQ(daemon_->get("/health").status, 200) << "others are served meanwhile";
    EXPECT_TRUE(client.read_to_end(kTimeout + seconds(5))) << "still open: " << half;
    EXPECT_GE(steady_clock::now() - begin, kTimeout / 2) << half;
  }
  expect_unharmed();
}

TEST_F(BadClient, SlowClientIsCutOffAlthoughItKeepsSending) {
  const RawClient client(daemon_->socket());
  const auto begin = steady_clock::now();
  const std::string request = kHalfHeaders + std::string(1000, 'n');
  std::size_t sent = 0;
  while (sent < request.size() && client.send(request.substr(sent, 1))) {
    ++sent;
    std::this_thread::sleep_for(milliseconds(20));  // what makes it slow
  }
  const Timings::Milliseconds lasted = steady_clock::now() - begin;
  report_figure("slow client cut off after", lasted.count(), "ms");
  EXPECT_LT(sent, request.size());
  EXPECT_GE(lasted, kTimeout / 2);
  expect_unharmed();
}

TEST_F(BadClient, ManyThatWaitLeaveRoomForOthersAndNoTrace) {
  const std::size_t files = open_files();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(std::make_unique<RawClient>(daemon_->socket()));
    EXPECT_TRUE(clients.back()->send(kHalfBody));
  }
  EXPECT_EQ(daemon_->get("/health").status, 200);
  for (const auto& client : clients) EXPECT_TRUE(client->read_to_end(seconds(20)));
  clients.clear();
  EXPECT_TRUE(eventually([&] { return open_files() <= files + 1; })) << open_files() << " files, before " << files;
  expect_unharmed();
}

TEST_F(BadClient, ViewSocketTakesNoPost) {
  for (const char* path : {"/api/chaos/scenarios", "/api/chaos/plan", "/api/chaos/emergency-stop", "/api/chaos/rearm",
                           "/api/log-level", "/api/config/reload"}) {
    const Response response = http(daemon_->view_socket(), "POST", path, "{}");
    EXPECT_EQ(response.status, 403) << path << response.text;
    EXPECT_EQ(response.body.value("rule", ""), "GET only") << response.text;
  }
  EXPECT_EQ(http(daemon_->view_socket(), "GET", "/health").status, 200);
  EXPECT_EQ(daemon_->get("/health").body.value("latched", true), false);
  const Outcome ctl = try_shell(std::string(CHAOS_BIN_DIR "/chaosctl --socket ") + daemon_->view_socket() + " rearm");
  EXPECT_EQ(ctl.status, 4) << ctl.output;
  expect_unharmed();
}

TEST_F(BadClient, SocketModesKeepStrangersOut) {
  const std::string none = "--regid=65534 --clear-groups";
  const std::string get = "http://chaosd/health";
  const std::string post = "-X POST -d '{}' http://chaosd/api/chaos/rearm";
  const std::string operate = daemon_->socket();
  const std::string view = daemon_->view_socket();
  EXPECT_EQ(status_for_nobody(none, operate, get), 0);
  EXPECT_EQ(status_for_nobody(none, view, get), 0);
  for (const char* viewer : {"--regid=games --clear-groups", "--regid=65534 --groups=games"}) {
    EXPECT_EQ(status_for_nobody(viewer, view, get), 200) << viewer;
    EXPECT_EQ(status_for_nobody(viewer, view, post), 403) << viewer;
    EXPECT_EQ(status_for_nobody(viewer, operate, get), 0) << viewer;
  }
  for (const char* operator_ : {"--regid=daemon --clear-groups", "--regid=65534 --groups=daemon"}) {
    EXPECT_EQ(status_for_nobody(operator_, operate, get), 200) << operator_;
    EXPECT_EQ(status_for_nobody(operator_, operate, post), 200) << operator_;
    EXPECT_EQ(status_for_nobody(operator_, view, get), 0) << operator_;
  }
  expect_unharmed();
}

TEST_F(BadClient, RolesHoldWhereSocketModesDoNot) {
  const std::string get = "http://chaosd/health";
  const std::string post = "-X POST -d '{}' http://chaosd/api/chaos/emergency-stop";
  for (const std::string& socket : {daemon_->socket(), daemon_->view_socket()}) {
    ASSERT_EQ(chmod(socket.c_str(), 0666), 0);
    EXPECT_EQ(status_for_nobody("--regid=65534 --clear-groups", socket, get), 403);
    EXPECT_EQ(status_for_nobody("--regid=65534 --clear-groups", socket, post), 403);
    EXPECT_EQ(status_for_nobody("--regid=games --clear-groups", socket, get), 200);
    EXPECT_EQ(status_for_nobody("--regid=games --clear-groups", socket, post), 403);
  }
  EXPECT_EQ(daemon_->get("/health").body.value("latched", true), false);
  const json entries = daemon_->get("/api/audit").body.at("entries");
  const auto refused = std::ranges::count_if(
      entries, [](const json& entry) { return entry.value("uid", 0) == 65534 && entry.value("status", 0) == 403; });
  EXPECT_EQ(refused, 6) << entries.dump(1);
  expect_unharmed();
}

}  // namespace
}  // namespace chaos::test
