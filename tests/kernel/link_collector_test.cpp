// The collector of interfaces while interfaces come and go: the kernel then marks its answer as interrupted
// (NLM_F_DUMP_INTR), and what it left out is none the less there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "support/kernel_test.h"
#include "support/net.h"
#include "support/temp_dir.h"
#include "telemetry/collector.h"

namespace chaos::test {
namespace {

constexpr int kPairs = 75;

/// Interfaces that the round shows, "lo" among them.
int shown(const Registry& registry) {
  int count = 0;
  for (const Registry::Series& series : registry.series()) {
    if (registry.present(series) && series.metric->name == "chaosd_host_network_up") ++count;
  }
  return count;
}

TEST(LinkCollector, InterruptedAnswersAreAskedForAgain) {
  CHAOS_NEEDS_ROOT();
  const Namespace ns("links");
  const TempDir dir;
  std::string batch;
  for (int i = 0; i < kPairs; ++i) {
    batch += "link add many" + std::to_string(i) + " type veth peer name peer" + std::to_string(i) + "\n";
  }
  (void)ns.command("ip -batch " + dir.write("many", batch).string());
  // One more pair comes and goes all the time, after a moment each.
  std::string changes;
  for (int i = 0; i < 50; ++i) changes += "link add other type veth peer name another\nlink del other\n";
  const std::string changing = dir.write("changes", changes).string();
  std::atomic<bool> over{false};
  std::thread changer([&] {
    while (!over) (void)try_shell("ip -n " + ns.name() + " -batch " + changing);
  });
  int rounds = 0;
  int incomplete = 0;
  std::string error;
  ns.run([&] {
    const auto collector = make_link_collector();
    Registry registry;
    for (; rounds < 200 && error.empty(); ++rounds) {
      registry.begin_round();
      if (const Status status = collector->collect(registry); !status) error = status.error().message;
      if (shown(registry) < 2 * kPairs + 1) ++incomplete;
    }
  });
  over = true;
  changer.join();
  EXPECT_EQ(error, "") << "after " << rounds << " rounds";
  EXPECT_EQ(incomplete, 0);
}

}  // namespace
}  // namespace chaos::test
