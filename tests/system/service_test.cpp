// chaosd as a service: what it tells its manager, how it is started, reloaded and ended, and who may run beside it.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace fs = std::filesystem;

sockaddr_un address_of(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

UniqueFd bind_socket(const fs::path& path, int type) {
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("bind " + path.string() + ": " + std::strerror(errno));
  }
  return fd;
}

/// The service manager's end of sd_notify(3).
class Manager {
 public:
  Manager() : fd_(bind_socket(path(), SOCK_DGRAM)) {}
  [[nodiscard]] fs::path path() const { return directory_.path() / "notify"; }

  /// Takes messages until one has a line that begins with `line`; false after `limit`.
  [[nodiscard]] bool hears(std::string_view line, milliseconds limit = seconds(10)) {
    const auto end = steady_clock::now() + limit;
    while (true) {
      const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
      pollfd readable{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left <= 0 || poll(&readable, 1, static_cast<int>(left)) <= 0) return false;
      char buffer[4096];
      const ssize_t got = recv(fd_.get(), buffer, sizeof(buffer), 0);
      const std::string text = "\n" + std::string(buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      heard_ += text;
      if (text.contains("\n" + std::string(line))) return true;
    }
  }
  [[nodiscard]] const std::string& heard() const { return heard_; }

 private:
  TempDir directory_;
  UniqueFd fd_;
  std::string heard_;
};

TEST(Service, TellsItsManagerHowItIs) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("notify");
  Manager manager;
  Daemon::Setup setup;
  setup.wrapper = {"env", "NOTIFY_SOCKET=" + manager.path().string(), "WATCHDOG_USEC=1000000"};
  Daemon daemon(setup);
  EXPECT_TRUE(manager.hears("READY=1")) << manager.heard();
  EXPECT_TRUE(daemon.get("/health").body.value("guardian_pid", nlohmann::json()).is_number()) << "ready is guarded";
  EXPECT_TRUE(manager.hears("STATUS=0 scenarios active")) << manager.heard();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(manager.hears("WATCHDOG=1", seconds(3))) << manager.heard();

  const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
  EXPECT_TRUE(manager.hears("STATUS=1 scenario active (packet_loss)")) << manager.heard();
  daemon.signal(SIGHUP);
  EXPECT_TRUE(manager.hears("RELOADING=1")) << manager.heard();
  EXPECT_TRUE(manager.heard().contains("MONOTONIC_USEC=")) << manager.heard();
  EXPECT_TRUE(manager.hears("READY=1")) << manager.heard();
  EXPECT_EQ(daemon.scenario(id).value("state", ""), "active") << "a reload touches no scenario";
  EXPECT_EQ(daemon.post("/api/chaos/emergency-stop").status, 200);
  EXPECT_TRUE(manager.hears("STATUS=LATCHED")) << manager.heard();
  daemon.signal(SIGTERM);
  EXPECT_TRUE(manager.hears("STOPPING=1")) << manager.heard();
  EXPECT_EQ(daemon.wait(), 0);
}

// It finds the signal waiting when it comes to its signals, and has a guardian on its way by then.
TEST(Service, IsNeverReadyOnceItStops) {
  CHAOS_NEEDS_ROOT();
  Manager manager;
  Daemon::Setup setup;
  setup.wrapper = {"env",
                   "--block-signal=TERM",
                   "NOTIFY_SOCKET=" + manager.path().string(),
                   "bash",
                   "-c",
                   "kill -TERM $$; exec \"$@\"",
                   "bash"};
  EXPECT_THROW(Daemon{setup}, std::runtime_error) << "it answered";
  EXPECT_TRUE(manager.hears("STOPPING=1")) << manager.heard();
  while (manager.hears("", milliseconds(100))) continue;
  EXPECT_FALSE(manager.heard().contains("READY=1")) << manager.heard();
}

TEST(Service, TakesItsSocketsFromTheManager) {
  CHAOS_NEEDS_ROOT();
  constexpr int kOperate = 200;
  constexpr int kView = 201;
  UniqueFd operate;
  UniqueFd view;
  Daemon::Setup setup;
  // dash knows no fd numbers of two digits.
  setup.wrapper = {"bash", "-c",
                   "exec 3<&200 4<&201 200<&- 201<&-\n"
                   "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=chaosd:chaosd-view\nexec \"$@\"",
                   "bash"};
  setup.prepare = [&](const fs::path& directory) {
    fs::create_directory(directory / "run");
    for (auto& [fd, number, name] :
         {std::tuple{&operate, kOperate, "chaosd.sock"}, std::tuple{&view, kView, "chaosd-view.sock"}}) {
      const UniqueFd made = bind_socket(directory / "run" / name, SOCK_STREAM);
      if (listen(made.get(), 64) != 0 || dup3(made.get(), number, 0) != number) throw std::runtime_error("listen");
      fd->reset(number);
    }
  };
  Daemon daemon(setup);
  EXPECT_EQ(daemon.post("/api/chaos/rearm").status, 200);
  EXPECT_EQ(http(daemon.view_socket(), "GET", "/health").status, 200);
  EXPECT_EQ(http(daemon.view_socket(), "POST", "/api/chaos/rearm", "{}").status, 403);

  EXPECT_EQ(daemon.stop(), 0);
  EXPECT_TRUE(fs::is_socket(daemon.socket()) && fs::is_socket(daemon.view_socket())) << "they are the manager's";
  daemon.start();
  EXPECT_EQ(daemon.get("/health").status, 200);
  EXPECT_EQ(daemon.get("/api/chaos/residue").body.value("clean", false), true);
}

TEST(Service, ReloadTakesEffectOrChangesNothing) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("reload");
  const Daemon daemon;
  const std::string first = id_of(daemon.run_scenario(total_loss(net.left)));
  const auto expect_limit_of_one = [&](const char* when) {
    const Response second = daemon.post("/api/chaos/scenarios", total_loss(net.right));
    EXPECT_EQ(second.status, 409) << when << second.text;
    EXPECT_EQ(second.body.value("rule", ""), "chaos_testing.max_concurrent_scenarios") << when << second.text;
    EXPECT_EQ(daemon.scenario(first).value("state", ""), "active") << when;
  };
  daemon.write_config("chaos_testing: {max_concurrent_scenarios: 1, queue_limit: 0, blast_radius_limit: 1}\n");
  daemon.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return daemon.log().contains("configuration reloaded"); })) << daemon.log();
  expect_limit_of_one("after SIGHUP");

  const std::size_t logged = daemon.log().size();
  daemon.write_config("chaos_testing:\n  max_concurrent_scenarios: many\n");
  daemon.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return daemon.log().substr(logged).contains("old configuration stays in force"); }))
      << daemon.log();
  const std::string error = daemon.log().substr(logged);
  EXPECT_TRUE(error.contains("max_concurrent_scenarios") && error.contains(":2:")) << error;
  expect_limit_of_one("after a broken one");

  for (const char* broken : {"chaos_testing: {max_concurrent_scenarios: many}\n", "no_such_section: 1\n", "a: [\n"}) {
    daemon.write_config(broken);
    const Response answer = daemon.post("/api/config/reload");
    EXPECT_EQ(answer.status, 400) << answer.text;
    EXPECT_TRUE(answer.body.value("detail", "").contains("chaosd.yaml:")) << answer.text;
    expect_limit_of_one(broken);
  }
  daemon.write_config("chaos_testing: {max_concurrent_scenarios: 2, blast_radius_limit: 1}\n");
  const Response answer = daemon.post("/api/config/reload");
  EXPECT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.body.value("reloaded", false), true) << answer.text;
  (void)daemon.run_scenario(total_loss(net.right));
}

TEST(Service, LogLevelChangesWhileItRuns) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("level");
  const Daemon daemon;
  const auto set_level = [&](const char* level) {
    EXPECT_EQ(daemon.post("/api/log-level", {{"level", level}}).status, 200);
    EXPECT_EQ(daemon.get("/api/log-level").body.value("level", ""), level);
  };
  const auto run_once = [&] {
    std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
    (void)daemon.stop_scenario(id);
    return id;
  };
  EXPECT_EQ(daemon.get("/api/log-level").body.value("level", ""), "info");
  set_level("error");
  const std::string unheard = run_once();
  set_level("info");
  const std::string heard = run_once();
  EXPECT_TRUE(eventually([&] { return daemon.log().contains(heard); })) << daemon.log();
  EXPECT_FALSE(daemon.log().contains(unheard)) << daemon.log();
}

TEST(Service, SigtermEndsActiveScenariosInOrder) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("term");
  Daemon daemon;
  const Stream stream({net.left, "10.77.0.1"}, {net.right, "10.77.0.2"}, std::chrono::microseconds(500));
  ASSERT_TRUE(stream.first_arrival({}, seconds(5)));
  for (const int signo : {SIGTERM, SIGINT}) {
    const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
    ASSERT_TRUE(stream.falls_silent(milliseconds(100), seconds(5)));
    const BpfObjects before = bpf_objects_of(daemon.pid());
    const auto signalled = steady_clock::now();
    daemon.signal(signo);
    EXPECT_TRUE(stream.first_arrival(signalled, seconds(5)));
    const int status = daemon.wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << daemon.log();
    EXPECT_TRUE(eventually([&] { return still_there(before).empty(); }));
    EXPECT_EQ(attached_programs(net.left, "l0"), 0U);
    for (const auto& entry : fs::directory_iterator(daemon.runtime_dir())) {
      EXPECT_EQ(entry.path().filename(), "lock") << "only the lock file may stay";
    }
    daemon.start();
    const json record = daemon.scenario(id);
    EXPECT_EQ(record.value("state", ""), "completed") << record.dump(1);
    EXPECT_EQ(record.value("end_reason", ""), "stopped") << record.dump(1);
    EXPECT_GT(record.at("counters").value("injected", 0), 0) << record.dump(1);
  }
}

TEST(Service, SecondDaemonInTheSamePlaceIsRefused) {
  CHAOS_NEEDS_ROOT();
  const Daemon daemon;
  const TempDir elsewhere;
  const std::string second = "timeout 20 " CHAOS_BIN_DIR "/chaosd --config " + daemon.config_file().string() +
                             " --instance second" + std::to_string(getpid()) + " --state-dir ";
  const Outcome same_runtime_dir =
      try_shell(second + elsewhere.path().string() + " --runtime-dir " + daemon.runtime_dir().string());
  EXPECT_EQ(same_runtime_dir.status, 1) << same_runtime_dir.output;
  EXPECT_TRUE(same_runtime_dir.output.contains("another chaosd runs in " + daemon.runtime_dir().string()))
      << same_runtime_dir.output;
  EXPECT_TRUE(same_runtime_dir.output.contains("--runtime-dir")) << same_runtime_dir.output;
  EXPECT_EQ(daemon.get("/health").body.value("pid", 0), daemon.pid()) << "the first one goes on";
  EXPECT_TRUE(fs::exists(daemon.runtime_dir() / "chaosd.pid"));
  EXPECT_EQ(http(daemon.view_socket(), "GET", "/health").status, 200);
}

TEST(Service, InstancesDoNotTakeEachOtherForResidue) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("two");
  Daemon one;
  const Daemon two;
  ASSERT_NE(one.instance(), two.instance());
  const std::string first = id_of(one.run_scenario(total_loss(net.left)));
  const std::string second = id_of(two.run_scenario(total_loss(net.left)));
  const auto expect_clean = [](const Daemon& daemon) {
    const Response residue = daemon.get("/api/chaos/residue");
    EXPECT_EQ(residue.body.value("clean", false), true) << daemon.instance() << ' ' << residue.text;
  };
  expect_clean(one);
  expect_clean(two);
  EXPECT_EQ(attached_programs(net.left, "l0"), 4U);

  const BpfObjects before = bpf_objects_of(one.pid());
  one.signal(SIGKILL);
  (void)one.wait();
  EXPECT_TRUE(eventually([&] { return still_there(before).empty(); }));
  EXPECT_EQ(two.scenario(second).value("state", ""), "active");
  EXPECT_EQ(attached_programs(net.left, "l0"), 2U);
  expect_clean(two);
  one.start();
  expect_clean(one);
  EXPECT_EQ(one.scenario(first).value("state", ""), "failed");
  EXPECT_EQ(two.stop_scenario(second).value("state", ""), "completed");
  expect_clean(two);
}

}  // namespace
}  // namespace chaos::test
