// Targets that vanish under an active fault: the scenario fails as target_gone, the daemon goes on, and nothing of
// chaosd keeps what is gone alive.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <memory>

#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace fs = std::filesystem;

ino_t inode_of(const std::string& path) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) throw std::runtime_error("stat " + path);
  return st.st_ino;
}

/// True if a process is in the network namespace, or has it open, or has it mounted.
bool namespace_lives(ino_t inode) {
  const std::string name = "net:[" + std::to_string(inode) + "]";
  return try_shell("readlink /proc/[0-9]*/task/*/ns/net /proc/[0-9]*/fd/* 2>/dev/null | grep -qxF '" + name + "' || " +
                   "grep -qF '" + name + "' /proc/[0-9]*/mountinfo")
             .status == 0;
}

class Vanish : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("vanish");
    daemon_ = std::make_unique<Daemon>();
  }
  void TearDown() override {
    daemon_.reset();
    net_.reset();
  }
  [[nodiscard]] bool peer_exists() const {
    return try_shell("ip -n " + net_->right.name() + " link show r0").status == 0;
  }
  void expect_target_gone(const std::string& id, steady_clock::time_point since) const {
    const json record = wait_for_end(*daemon_, id);
    report_figure("target gone to scenario ended",
                  std::chrono::duration<double, std::milli>(steady_clock::now() - since).count(), "ms");
    EXPECT_EQ(record.value("state", ""), "failed") << record.dump(1);
    EXPECT_EQ(record.value("end_reason", ""), "target_gone") << record.dump(1);
    EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon_->pid()).links.empty(); }));
    EXPECT_EQ(daemon_->get("/health").body.value("status", ""), "ok");
    EXPECT_EQ(daemon_->get("/api/chaos/residue").body.value("clean", false), true);
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Vanish, InterfaceRemovedAndMadeAgain) {
  json request = total_loss(net_->left);
  request["target"]["interface"] = "l0";
  for (int i = 0; i < 3; ++i) {
    {
      // The same name, and after a while the same ifindex: the fault must hit the new device, not the old one's slot.
      const Stream stream({net_->left, "10.77.0.1"}, {net_->right, "10.77.0.2"}, std::chrono::microseconds(500));
      ASSERT_TRUE(stream.first_arrival({}, seconds(10)));
      const std::string id = id_of(daemon_->run_scenario(request));
      ASSERT_TRUE(stream.falls_silent(milliseconds(100), seconds(5)));
      const auto removed = steady_clock::now();
      shell("ip -n " + net_->left.name() + " link del l0");
      expect_target_gone(id, removed);
    }
    const Response absent = daemon_->post("/api/chaos/scenarios", request);
    EXPECT_EQ(absent.status, 404) << absent.text;
    EXPECT_EQ(absent.body.value("field", ""), "target.interface") << absent.text;
    shell("ip link add l0 index 77 netns " + net_->left.name() + " type veth peer name r0 netns " + net_->right.name());
    shell("ip -n " + net_->left.name() + " addr add 10.77.0.1/24 dev l0");
    shell("ip -n " + net_->right.name() + " addr add 10.77.0.2/24 dev r0");
    shell("ip -n " + net_->left.name() + " link set l0 up");
    shell("ip -n " + net_->right.name() + " link set r0 up");
  }
}

TEST_F(Vanish, OneInterfaceOfSeveralIsAWarning) {
  shell("ip link add l1 netns " + net_->left.name() + " type veth peer name r1 netns " + net_->right.name());
  shell("ip -n " + net_->left.name() + " link set l1 up");
  const std::string id = id_of(daemon_->run_scenario(total_loss(net_->left)));
  shell("ip -n " + net_->left.name() + " link del l1");
  EXPECT_TRUE(eventually([&] { return daemon_->scenario(id).at("warnings").dump().contains("l1 is gone"); }));
  EXPECT_EQ(daemon_->scenario(id).value("state", ""), "active");
  EXPECT_NE(try_shell("nsenter --net=/run/netns/" + net_->left.name() + " ping -c1 -W1 10.77.0.2").status, 0);
  EXPECT_EQ(daemon_->stop_scenario(id).value("state", ""), "completed");
  EXPECT_EQ(try_shell("nsenter --net=/run/netns/" + net_->left.name() + " ping -c1 -W1 10.77.0.2").status, 0);
}

TEST_F(Vanish, NamespaceDeleted) {
  const ino_t inode = inode_of("/run/netns/" + net_->left.name());
  const json request = total_loss(net_->left);
  const std::string id = id_of(daemon_->run_scenario(request));
  ASSERT_TRUE(namespace_lives(inode));
  const auto deleted = steady_clock::now();
  shell("ip netns del " + net_->left.name());
  // The kernel takes a namespace's veth down, with its other end, when the last user is gone; not before.
  EXPECT_TRUE(eventually([&] { return !peer_exists(); }, seconds(20))) << "something keeps the namespace alive";
  EXPECT_FALSE(namespace_lives(inode));
  expect_target_gone(id, deleted);
  const Response absent = daemon_->post("/api/chaos/scenarios", request);
  EXPECT_EQ(absent.status, 404) << absent.text;
  EXPECT_EQ(absent.body.value("field", ""), "target.netns") << absent.text;
}

TEST_F(Vanish, NamespaceGoesWithItsLastProcess) {
  auto process = std::make_unique<Child>("/usr/bin/unshare", std::vector<std::string>{"unshare", "-n", "cat"});
  const std::string pid = std::to_string(process->pid());
  const ino_t own = inode_of("/proc/self/ns/net");
  ASSERT_TRUE(eventually([&] { return inode_of("/proc/" + pid + "/ns/net") != own; }));
  const ino_t inode = inode_of("/proc/" + pid + "/ns/net");
  shell("ip -n " + net_->left.name() + " link set l0 netns " + pid);
  json request = total_loss(net_->left);
  request["target"]["netns"] = pid;
  const std::string id = id_of(daemon_->run_scenario(request));
  const auto ended = steady_clock::now();
  process.reset();
  EXPECT_TRUE(eventually([&] { return !peer_exists(); }, seconds(20))) << "something keeps the namespace alive";
  EXPECT_FALSE(namespace_lives(inode));
  expect_target_gone(id, ended);
}

}  // namespace
}  // namespace chaos::test
