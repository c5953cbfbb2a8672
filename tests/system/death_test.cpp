// However chaosd ends, the wire is free at once and nothing of it is left (DESIGN, promise 1). The observers are a UDP
// stream on the first, the middle and the last interface, BPF object ids and BPF_PROG_QUERY.
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <set>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/stream.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Two namespaces joined by `count` veth pairs: l0, l1, ... and r0, r1, ...
struct Bundle {
  explicit Bundle(unsigned count) : left("death-l"), right("death-r"), size(count) {
    for (unsigned i = 0; i < size; ++i) {
      const std::string n = std::to_string(i);
      shell("ip link add l" + n + " netns " + left.name() + " type veth peer name r" + n + " netns " + right.name());
      shell("ip -n " + left.name() + " addr add " + address(i, 1) + "/24 dev l" + n);
      shell("ip -n " + right.name() + " addr add " + address(i, 2) + "/24 dev r" + n);
      shell("ip -n " + left.name() + " link set l" + n + " up");
      shell("ip -n " + right.name() + " link set r" + n + " up");
    }
  }
  [[nodiscard]] static std::string address(unsigned i, unsigned host) {
    return "10.78." + std::to_string(i) + "." + std::to_string(host);
  }
  /// A packet every 100 us on the last one; the others only show that they are free as soon, and load the machine less.
  [[nodiscard]] std::unique_ptr<Stream> stream_over(unsigned i) const {
    return std::make_unique<Stream>(Stream::End{left, address(i, 1)}, Stream::End{right, address(i, 2)},
                                    std::chrono::microseconds(i + 1 == size ? 100 : 1000),
                                    static_cast<std::uint16_t>(5000 + i));
  }

  Namespace left;
  Namespace right;
  unsigned size;
};

bool has_any(const std::set<std::uint32_t>& ids, const std::set<std::uint32_t>& wanted) {
  return std::ranges::any_of(wanted, [&](std::uint32_t id) { return ids.contains(id); });
}

void expect_no_trace(const Bundle& net, const BpfObjects& before) {
  // The wire is free long before the last link is gone: removing one takes the kernel some ms.
  BpfObjects left;
  EXPECT_TRUE(eventually([&] { return (left = still_there(before)).empty(); }, seconds(30)))
      << left.links.size() << " links, " << left.programs.size() << " programs, " << left.maps.size() << " maps";
  EXPECT_FALSE(has_any(bpftool_links(), before.links));
  for (unsigned i = 0; i < net.size; ++i) EXPECT_EQ(attached_programs(net.left, "l" + std::to_string(i)), 0U) << i;
  EXPECT_EQ(attached_programs(net.left, "lo"), 0U);
}

void expect_clean_successor(Daemon& daemon, const std::string& id) {
  daemon.start();
  const Response residue = daemon.get("/api/chaos/residue");
  EXPECT_EQ(residue.body.value("clean", false), true) << residue.text;
  const auto record = daemon.scenario(id);
  EXPECT_EQ(record.value("state", ""), "failed") << record.dump(1);
  EXPECT_FALSE(record.value("end_reason", "").empty()) << record.dump(1);
}

/// One death under 100 % loss; adds the time from the signal to the first packet through on the slowest of the observed
/// devices.
void die_once(Daemon& daemon, const Bundle& net, const std::vector<std::unique_ptr<Stream>>& streams, int signo,
              Timings& timings) {
  const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
  for (const auto& stream : streams) ASSERT_TRUE(stream->falls_silent(milliseconds(50), seconds(5)));
  const BpfObjects before = bpf_objects_of(daemon.pid());
  ASSERT_EQ(before.links.size(), 2 * net.size + 1) << "both ways of each pair, and lo";

  const auto signalled = std::chrono::steady_clock::now();
  daemon.signal(signo);
  Timings::Milliseconds slowest{0};
  for (const auto& stream : streams) {
    const auto arrival = stream->first_arrival(signalled, seconds(20));
    ASSERT_TRUE(arrival) << "no packet came through";
    slowest = std::max<Timings::Milliseconds>(slowest, *arrival - signalled);
  }
  timings.add(slowest);

  const int status = daemon.wait();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), signo);
  EXPECT_EQ(static_cast<bool>(WCOREDUMP(status)), signo != SIGKILL)
      << "without a core the test does not show what it should";
  expect_no_trace(net, before);
  expect_clean_successor(daemon, id);
}

struct Deaths {
  unsigned interfaces;
  int signo;
  unsigned count;
  double limit_ms;  ///< of the 99th percentile
};

void die_often(const Deaths& deaths, const std::string& name) {
  const TempDir cores;
  const Bundle net(deaths.interfaces);
  Daemon::Setup setup;
  setup.wrapper = {"prlimit", "--core=unlimited", "env", "-C", cores.path().string()};
  Daemon daemon(setup);
  std::vector<std::unique_ptr<Stream>> streams;
  // The first, the middle and the last one: whichever order the kernel frees them in.
  for (const unsigned i : std::set<unsigned>{0, net.size / 2, net.size - 1}) streams.push_back(net.stream_over(i));
  ASSERT_TRUE(streams.front()->first_arrival({}, seconds(5)));

  Timings timings;
  for (unsigned i = 0; i < deaths.count; ++i) {
    die_once(daemon, net, streams, deaths.signo, timings);
    if (testing::Test::HasFatalFailure()) return;
    for (const auto& core : std::filesystem::directory_iterator(cores.path())) std::filesystem::remove(core);
  }
  timings.report(name);
  EXPECT_LE(timings.percentile(99), deaths.limit_ms * time_scale());
}

TEST(Death, KillFreesOneInterface) {
  CHAOS_NEEDS_ROOT();
  die_often({1, SIGKILL, by_size(5U, 50U), by_size(250.0, 20.0)}, "kill -9 to first packet, 1 interface");
}

TEST(Death, KillFreesSixteenInterfaces) {
  CHAOS_NEEDS_ROOT();
  die_often({16, SIGKILL, by_size(3U, 50U), by_size(250.0, 20.0)}, "kill -9 to first packet, 16 interfaces");
}

TEST(Death, SegfaultWithCoreFreesTheWire) {
  CHAOS_NEEDS_ROOT();
  die_often({1, SIGSEGV, by_size(2U, 20U), by_size(500.0, 100.0)}, "SIGSEGV with core to first packet");
}

TEST(Death, AbortWithCoreFreesTheWire) {
  CHAOS_NEEDS_ROOT();
  die_often({1, SIGABRT, by_size(2U, 20U), by_size(500.0, 100.0)}, "SIGABRT with core to first packet");
}

}  // namespace
}  // namespace chaos::test
