// "Is it chaos?": what journald, the message of the day, /health and webhooks say while a scenario is active. chaosd
// runs in a mount namespace of its own, where the test is journald and the motd.d directory is the test's.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "announce/journal.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/receiver.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr const char* kMounts =
    "set -e\n"
    "here=$1; shift\n"
    "mkdir -p $here/netns\n"
    "mount --rbind /run/netns $here/netns\n"
    "mount -t tmpfs tmpfs /run\n"
    "mkdir -p /run/netns /run/systemd/journal /run/motd.d\n"
    "mount --rbind $here/netns /run/netns\n"
    "mount --bind $here/journal /run/systemd/journal\n"
    "mount --bind $here/motd.d /run/motd.d\n"
    "exec \"$@\"\n";

using Record = std::multimap<std::string, std::string>;

/// The fields of a datagram in journald's native protocol; none of ours holds a newline.
Record parse_record(std::string_view text) {
  Record record;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos) record.emplace(line.substr(0, equals), line.substr(equals + 1));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return record;
}

std::string value(const Record& record, const std::string& field) {
  const auto found = record.find(field);
  return found != record.end() ? found->second : "";
}

/// journald's end of its socket.
class Journald {
 public:
  explicit Journald(const fs::path& path) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("bind " + path.string() + ": " + std::strerror(errno));
    }
  }
  /// The next record with this MESSAGE_ID; what comes before it is log lines. Empty after 10 s.
  [[nodiscard]] Record next(std::string_view message_id) const {
    const auto end = steady_clock::now() + seconds(10);
    while (true) {
      const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
      pollfd readable{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left <= 0 || ::poll(&readable, 1, static_cast<int>(left)) <= 0) return {};
      char buffer[16384];
      const ssize_t got = ::recv(fd_.get(), buffer, sizeof(buffer), 0);
      Record record = parse_record({buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
      if (value(record, "MESSAGE_ID") == message_id) return record;
    }
  }

 private:
  UniqueFd fd_;
};

class Announce : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    for (const char* name : {"journal", "motd.d"}) fs::create_directory(place_.path() / name);
    journald_.emplace(place_.path() / "journal" / "socket");
    net_.emplace("announce");
  }
  [[nodiscard]] Daemon::Setup setup(const std::string& config) const {
    Daemon::Setup setup;
    setup.config = "chaos_testing: {blast_radius_limit: 1}\n" + config;
    setup.wrapper = {"unshare", "--mount", "--propagation",       "slave", "bash", "-c",
                     kMounts,   "bash",    place_.path().string()};
    return setup;
  }
  [[nodiscard]] fs::path motd(const Daemon& daemon) const {
    return place_.path() / "motd.d" / ("chaosd-" + daemon.instance());
  }
  [[nodiscard]] static std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] json request(const std::string& reason = "a drill") const {
    json request = total_loss(net_->left);
    request["reason"] = reason;
    return request;
  }
  [[nodiscard]] std::string target() const { return "netns=" + net_->left.name(); }

  TempDir place_;
  std::optional<Journald> journald_;
  std::optional<VethPair> net_;
};

TEST_F(Announce, JournalHasStartAndEndOfEachScenario) {
  const Daemon daemon(setup("log: {journald: on}\n"));
  const std::string id = id_of(daemon.run_scenario(request()));
  const Record start = journald_->next(kStartMessage);
  EXPECT_EQ(value(start, "CHAOS_SCENARIO_ID"), id);
  EXPECT_EQ(value(start, "CHAOS_KIND"), "packet_loss");
  EXPECT_EQ(value(start, "CHAOS_TARGET"), target());
  EXPECT_EQ(value(start, "CHAOS_STATE"), "active");
  EXPECT_EQ(value(start, "CHAOS_OWNER"), "root");
  EXPECT_EQ(value(start, "CHAOS_REASON"), "a drill");
  EXPECT_EQ(value(start, "CHAOS_INSTANCE"), daemon.instance());
  EXPECT_EQ(value(start, "PRIORITY"), "5");
  EXPECT_EQ(start.count("CHAOS_END_REASON"), 0U);
  const std::string line = value(start, "MESSAGE");
  EXPECT_TRUE(line.contains("packet_loss on " + target()) && line.contains(id)) << line;

  (void)daemon.stop_scenario(id);
  const Record end = journald_->next(kEndMessage);
  EXPECT_EQ(value(end, "CHAOS_SCENARIO_ID"), id);
  EXPECT_EQ(value(end, "CHAOS_STATE"), "completed");
  EXPECT_EQ(value(end, "CHAOS_END_REASON"), "stopped");
  EXPECT_EQ(value(end, "PRIORITY"), "5");

  const std::string second = id_of(daemon.run_scenario(request()));
  EXPECT_EQ(daemon.post("/api/chaos/emergency-stop", {{"reason", "enough"}}).status, 200);
  const Record stop = journald_->next(kEmergencyMessage);
  EXPECT_EQ(value(stop, "CHAOS_REASON"), "emergency stop by root: enough");
  EXPECT_EQ(value(stop, "CHAOS_SCENARIO_ID"), second);
  EXPECT_EQ(value(stop, "PRIORITY"), "2");
  EXPECT_EQ(value(journald_->next(kEndMessage), "CHAOS_END_REASON"), "emergency_stop");
}

TEST_F(Announce, MessageOfTheDayIsThereWhileScenariosAreAndDiesWithChaosd) {
  Daemon daemon(setup("log: {journald: off}\n"));
  EXPECT_FALSE(fs::is_symlink(motd(daemon)));
  const std::string id = id_of(daemon.run_scenario(request()));
  const std::string text = text_of(motd(daemon));
  EXPECT_TRUE(text.contains("breaking this host on purpose: 1 scenario active")) << text;
  EXPECT_TRUE(text.contains("packet_loss on " + target() + " until ")) << text;
  EXPECT_TRUE(text.contains("emergency-stop")) << text;
  EXPECT_EQ(daemon.get("/api/chaos/residue").body.value("clean", false), true) << "of a living chaosd it is none";
  EXPECT_EQ(daemon.get("/health").body.at("active_ids"), json::array({id}));
  (void)daemon.stop_scenario(id);
  EXPECT_FALSE(fs::is_symlink(motd(daemon)));
  EXPECT_EQ(daemon.get("/health").body.at("active_ids"), json::array());

  (void)daemon.run_scenario(request());
  EXPECT_NE(text_of(motd(daemon)), "");
  daemon.signal(SIGKILL);
  (void)daemon.wait();
  EXPECT_EQ(text_of(motd(daemon)), "");
  EXPECT_TRUE(fs::is_symlink(motd(daemon))) << "leads nowhere";
  daemon.start();
  EXPECT_FALSE(fs::is_symlink(motd(daemon)));
  EXPECT_FALSE(fs::exists(daemon.runtime_dir() / "motd"));
  EXPECT_EQ(daemon.get("/api/chaos/residue").body.value("clean", false), true);

  (void)daemon.run_scenario(request());
  EXPECT_EQ(daemon.stop(), 0);
  EXPECT_TRUE(fs::is_empty(place_.path() / "motd.d"));
}

bool uses_libcurl(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  return std::string(std::istreambuf_iterator<char>(maps), {}).contains("libcurl");
}

TEST_F(Announce, WebhooksAreToldFromAReloadOnAndAtTheEnd) {
  const Receiver receiver;
  Daemon daemon;
  EXPECT_FALSE(uses_libcurl(daemon.pid())) << "it costs memory, and nobody is to be told";
  EXPECT_FALSE(daemon.get("/health").body.contains("webhooks"));
  const std::string hook = "webhooks:\n  - url: " + receiver.url() + "\n    events: [start, end, emergency_stop]\n";
  daemon.write_config("chaos_testing: {blast_radius_limit: 1}\n" + hook);
  const Response reload = daemon.post("/api/config/reload");
  ASSERT_EQ(reload.status, 200) << reload.text;
  EXPECT_EQ(reload.body.at("not_in_effect"), json::array());

  const json started = daemon.run_scenario(request());
  auto bodies = receiver.bodies(1);
  ASSERT_EQ(bodies.size(), 1U);
  const json start = json::parse(bodies[0]);
  EXPECT_EQ(start.at("event"), "start");
  EXPECT_EQ(start.at("instance"), daemon.instance());
  EXPECT_EQ(start.at("scenario").at("id"), id_of(started));
  EXPECT_EQ(start.at("scenario").at("target"), started.at("target"));
  EXPECT_TRUE(uses_libcurl(daemon.pid()));
  EXPECT_TRUE(eventually([&] {
    return daemon.get("/health").body.at("webhooks") ==
           json{{"delivered", 1}, {"failed", 0}, {"dropped", 0}, {"pending", 0}};
  })) << daemon.get("/health").text;

  EXPECT_EQ(daemon.stop(), 0);
  bodies = receiver.bodies(2);
  ASSERT_EQ(bodies.size(), 2U);
  const json end = json::parse(bodies[1]);
  EXPECT_EQ(end.at("event"), "end");
  EXPECT_EQ(end.at("scenario").at("end_reason"), "stopped");
}

TEST_F(Announce, WebhookThatHangsHoldsUpNothing) {
  const Receiver receiver([](std::size_t) { return ""; });
  Daemon::Setup setup;
  setup.config =
      "chaos_testing: {blast_radius_limit: 1}\nwebhooks:\n  - {url: \"" + receiver.url() + "\", timeout: 1m}\n";
  Daemon daemon(setup);
  const std::string id = id_of(daemon.run_scenario(request()));
  ASSERT_EQ(receiver.requests(1).size(), 1U);
  EXPECT_EQ(daemon.stop_scenario(id).value("state", ""), "completed");
  EXPECT_EQ(daemon.get("/health").body.at("webhooks").at("pending"), 2);
  EXPECT_EQ(daemon.get("/health").body.value("status", ""), "ok");
  const auto begin = steady_clock::now();
  EXPECT_EQ(daemon.stop(), 0);
  EXPECT_LT(steady_clock::now() - begin, seconds(5));
}

}  // namespace
}  // namespace chaos::test
