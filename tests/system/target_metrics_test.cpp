// What chaosd shows of the targets of active scenarios, against what others say of them.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "support/cgroup.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/tcp.h"

namespace chaos::test {
namespace {

using nlohmann::json;

constexpr const char* kFast =
    "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n"
    "telemetry: {interval: 50ms}\n";

/// What chaosd shows of a scenario's target now, by metric; of the RTT by metric and which.
std::map<std::string, double> shown(const Daemon& daemon, const std::string& id) {
  std::map<std::string, double> values;
  const std::string since = format_rfc3339(system_clock().wall());
  json answer;
  const bool came = eventually([&] {
    answer = daemon.get("/api/monitoring/metrics?pattern=chaosd_target_").body;
    return answer.value("time", "") > since;
  });
  if (!came) throw std::runtime_error("no new round of samples");
  for (const json& series : answer.at("metrics")) {
    const json& labels = series.at("labels");
    if (labels.at("id") != id) continue;
    const std::string which = labels.value("of", labels.value("resource", ""));
    values[series.at("name").get<std::string>() + (which.empty() ? "" : " " + which)] = series.at("value");
  }
  return values;
}

/// ss(8) of the connections of a namespace.
struct Seen {
  std::size_t sockets = 0;
  double rtt_ms = 0;  ///< the longest
  double retransmitted = 0;
  double send_queue = 0;
  double receive_queue = 0;
  double unacknowledged = 0;
  double lost = 0;
};
Seen ss(const Namespace& ns, const std::string& filter = {}) {
  Seen seen;
  std::istringstream lines(ns.command("ss -OHtin state established " + filter));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    double receive_queue = 0;
    double send_queue = 0;
    if (!(words >> receive_queue >> send_queue)) continue;
    ++seen.sockets;
    seen.send_queue += send_queue;
    seen.receive_queue += receive_queue;
    for (std::string word; words >> word;) {
      if (word.starts_with("rtt:")) seen.rtt_ms = std::max(seen.rtt_ms, std::stod(word.substr(4)));
      if (word.starts_with("unacked:")) seen.unacknowledged += std::stod(word.substr(8));
      if (word.starts_with("lost:")) seen.lost += std::stod(word.substr(5));
      if (word.starts_with("retrans:")) seen.retransmitted += std::stod(word.substr(word.find('/') + 1));
    }
  }
  return seen;
}

double usage_seconds(const TestCgroup& cgroup) {
  std::ifstream stat(cgroup.directory() / "cpu.stat");
  for (std::string key; stat >> key;) {
    double value = 0;
    stat >> value;
    if (key == "usage_usec") return value / 1e6;
  }
  return -1;
}

class TargetMetrics : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("targets");
    cgroup_ = std::make_unique<TestCgroup>("targets");
    server_ = listen_in(net_->right, 7000);
    Daemon::Setup setup;
    setup.config = kFast;
    daemon_ = std::make_unique<Daemon>(setup);
  }
  /// From the left namespace, by whoever runs it.
  [[nodiscard]] UniqueFd connection(const std::string& address) const {
    UniqueFd client;
    net_->left.run([&] {
      const Address to(address, 7000);
      client.reset(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (::connect(client.get(), to.get(), to.size) != 0) throw std::runtime_error("connect to " + address);
    });
    return client;
  }
  [[nodiscard]] std::string start(const json& target) const {
    return id_of(daemon_->run_scenario(
        {{"kind", "packet_loss"}, {"target", target}, {"parameters", {{"probability", "100%"}}}, {"duration", "1m"}}));
  }
  /// Whether chaosd and ss agree, whatever moves meanwhile.
  void expect_agreement(const std::string& id, const Seen& before, const std::map<std::string, double>& now,
                        const Seen& after) const {
    ASSERT_TRUE(now.contains("chaosd_target_tcp_sockets")) << id;
    EXPECT_EQ(now.at("chaosd_target_tcp_sockets"), static_cast<double>(before.sockets));
    const double retransmitted = now.at("chaosd_target_tcp_retransmitted_segments");
    EXPECT_GE(retransmitted, before.retransmitted);
    EXPECT_LE(retransmitted, after.retransmitted);
    EXPECT_EQ(now.at("chaosd_target_tcp_send_queue_bytes"), before.send_queue);
    EXPECT_EQ(now.at("chaosd_target_tcp_receive_queue_bytes"), before.receive_queue);
    EXPECT_EQ(now.at("chaosd_target_tcp_unacknowledged_segments"), before.unacknowledged);
    const auto [least_lost, most_lost] = std::minmax(before.lost, after.lost);
    EXPECT_GE(now.at("chaosd_target_tcp_lost_segments"), least_lost);
    EXPECT_LE(now.at("chaosd_target_tcp_lost_segments"), most_lost);
    EXPECT_NEAR(now.at("chaosd_target_tcp_rtt_seconds longest") * 1000, before.rtt_ms, 0.0006);
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<TestCgroup> cgroup_;
  UniqueFd server_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(TargetMetrics, ACgroupsProcessesAndConnections) {
  const auto process = idle_process(*cgroup_, net_->left);
  UniqueFd own;
  UniqueFd own6;
  cgroup_->run([&] {
    own = connection("10.77.0.2");
    own6 = connection("fd77::2");
  });
  // What has come to one of them is not read.
  const UniqueFd peer(::accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(::send(peer.get(), "unread", 6, MSG_NOSIGNAL), 6);
  const UniqueFd other = connection("10.77.0.2");
  ASSERT_EQ(ss(net_->left).sockets, 3U);
  ASSERT_TRUE(eventually([&] { return ss(net_->left).receive_queue == 6; }));
  const std::string id = start({{"cgroup", cgroup_->path()}, {"direction", "egress"}});
  ASSERT_EQ(::send(own.get(), "lost", 4, MSG_NOSIGNAL), 4);
  const std::string own_port = "cgroup = " + cgroup_->directory().string();
  ASSERT_TRUE(eventually([&] { return ss(net_->left, own_port).retransmitted >= 2; }));
  ASSERT_TRUE(eventually([&] { return shown(*daemon_, id).contains("chaosd_target_tcp_sockets"); }));
  const Seen before = ss(net_->left, own_port);
  const double cpu_before = usage_seconds(*cgroup_);
  const auto now = shown(*daemon_, id);
  const double cpu_after = usage_seconds(*cgroup_);
  const Seen after = ss(net_->left, own_port);
  EXPECT_EQ(before.sockets, 2U);
  EXPECT_EQ(before.send_queue, 4);
  EXPECT_EQ(before.receive_queue, 6);
  EXPECT_EQ(before.unacknowledged, 1);
  expect_agreement(id, before, now, after);
  EXPECT_EQ(now.at("chaosd_target_up"), 1);
  EXPECT_EQ(now.at("chaosd_target_processes"), 1);
  // The kernel counts it by CPU, and sums up only now and then.
  EXPECT_NEAR(now.at("chaosd_target_process_resident_bytes"),
              static_cast<double>(status_kb(process->pid(), "VmRSS")) * 1024, 1 << 20);
  if (cpu_before >= 0) {
    EXPECT_GE(now.at("chaosd_target_cpu_seconds_total"), cpu_before - 1e-6);
    EXPECT_LE(now.at("chaosd_target_cpu_seconds_total"), cpu_after + 1e-6);
  }
  (void)daemon_->stop_scenario(id);
  EXPECT_TRUE(eventually([&] { return shown(*daemon_, id).empty(); })) << "it is no target any more";
}

TEST_F(TargetMetrics, ANamespace) {
  const UniqueFd first = connection("10.77.0.2");
  const UniqueFd second = connection("fd77::2");
  const std::string id = start({{"netns", net_->left.name()}, {"direction", "egress"}});
  ASSERT_EQ(::send(second.get(), "lost too", 8, MSG_NOSIGNAL), 8);
  ASSERT_TRUE(eventually([&] { return ss(net_->left).retransmitted >= 2; }));
  ASSERT_TRUE(eventually([&] { return shown(*daemon_, id).contains("chaosd_target_tcp_sockets"); }));
  const Seen before = ss(net_->left);
  const auto now = shown(*daemon_, id);
  EXPECT_EQ(before.sockets, 2U);
  expect_agreement(id, before, now, ss(net_->left));
  (void)daemon_->stop_scenario(id);
}

TEST_F(TargetMetrics, AProcess) {
  // Its connection is its own; this test's in the same namespace is not.
  const UniqueFd other = connection("10.77.0.2");
  Child child("/usr/sbin/ip", {"ip", "netns", "exec", net_->left.name(), "bash", "-c",
                               "exec 3<>/dev/tcp/10.77.0.2/7000 && echo ready && read"});
  ASSERT_EQ(child.read_line(), "ready");
  ASSERT_EQ(ss(net_->left).sockets, 2U);
  const std::string id = start({{"pid", std::to_string(child.pid())}});
  ASSERT_TRUE(eventually([&] { return shown(*daemon_, id).contains("chaosd_target_tcp_sockets"); }));
  const auto now = shown(*daemon_, id);
  EXPECT_EQ(now.at("chaosd_target_tcp_sockets"), 1);
  EXPECT_EQ(now.at("chaosd_target_processes"), 1);
  (void)daemon_->stop_scenario(id);
}

}  // namespace
}  // namespace chaos::test
