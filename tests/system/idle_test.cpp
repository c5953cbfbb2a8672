// What chaosd costs while it does nothing, and what it can do without.
#include <fstream>
#include <memory>
#include <thread>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kMebibyte = 1024.0 * 1024.0;

void report_memory(const Daemon& daemon, const std::string& when) {
  const double rss = static_cast<double>(status_kb(daemon.pid(), "VmRSS")) / 1024;
  const double maps = static_cast<double>(bpf_map_bytes(daemon.pid())) / kMebibyte;
  report_figure("RSS " + when, rss, "MiB");
  report_figure("BPF map memory " + when, maps, "MiB");
  EXPECT_LE(rss, 20.0) << when;
  EXPECT_LE(maps, 16.0) << when;
}

TEST(Idle, CostsNextToNothing) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("idle");
  const Daemon daemon;
  EXPECT_TRUE(bpf_objects_of(daemon.pid()).links.empty());
  EXPECT_EQ(attached_programs(net.left, "l0") + attached_programs(net.left, "lo"), 0U);
  report_memory(daemon, "after the start");

  // Not only before the first scenario.
  (void)daemon.stop_scenario(id_of(daemon.run_scenario(total_loss(net.left))));
  EXPECT_TRUE(eventually([&] { return bpf_objects_of(daemon.pid()).links.empty(); }));
  EXPECT_EQ(attached_programs(net.left, "l0") + attached_programs(net.left, "lo"), 0U);

  const seconds span = by_size(seconds(10), seconds(60));
  const auto before = cpu_time(daemon.pid());
  std::this_thread::sleep_for(span);  // what is measured is this time
  const double share = std::chrono::duration<double>(cpu_time(daemon.pid()) - before) / span;
  report_figure("CPU while idle", share * 100, "% of a core");
  EXPECT_LE(share, by_size(0.005, 0.001));
  report_memory(daemon, "after a scenario");
}

TEST(Idle, WorksWithoutCapSysResource) {
  CHAOS_NEEDS_ROOT();
  constexpr unsigned kCapSysResource = 24;  // linux/capability.h
  const VethPair net("nocap");
  Daemon::Setup setup;
  setup.wrapper = {"setpriv", "--inh-caps", "-sys_resource", "--bounding-set", "-sys_resource"};
  Daemon daemon(setup);
  std::ifstream status("/proc/" + std::to_string(daemon.pid()) + "/status");
  std::uint64_t effective = 0;
  for (std::string key; status >> key;) {
    if (key == "CapEff:") status >> std::hex >> effective;
  }
  ASSERT_NE(effective, 0U);
  ASSERT_EQ(effective >> kCapSysResource & 1, 0U);

  const Stream stream({net.left, "10.77.0.1"}, {net.right, "10.77.0.2"}, std::chrono::microseconds(500));
  ASSERT_TRUE(stream.first_arrival({}, seconds(5)));
  const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
  EXPECT_TRUE(stream.falls_silent(milliseconds(100), seconds(5)));
  const auto stopped = daemon.stop_scenario(id);
  EXPECT_EQ(stopped.value("state", ""), "completed") << stopped.dump(1);
  EXPECT_GT(stopped.at("counters").value("injected", 0), 0) << stopped.dump(1);
  EXPECT_TRUE(stream.first_arrival(std::chrono::steady_clock::now(), seconds(5)));
  EXPECT_EQ(daemon.get("/api/chaos/residue").body.value("clean", false), true);
}

}  // namespace
}  // namespace chaos::test
