// What resource_exhaustion takes of a whole host, at levels that nobody should meet who works beside it: of the virtual
// machines only. Observers: /proc/stat, /proc/meminfo, a redis-server.
#include <gmock/gmock.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <thread>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/loads.h"
#include "support/redis.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using std::chrono::steady_clock;

class HostLoad : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    daemon_ = std::make_unique<Daemon>();
  }
  std::string start(json parameters) const {
    return id_of(daemon_->run_scenario({{"kind", "resource_exhaustion"},
                                        {"target", {{"host", "localhost"}}},
                                        {"parameters", std::move(parameters)},
                                        {"duration", "5m"}}));
  }
  void stop(const std::string& id) const {
    EXPECT_EQ(daemon_->stop_scenario(id).at("state"), "completed");
    EXPECT_TRUE(load_workers(daemon_->instance()).empty());
  }
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(HostLoad, ItsCpusAreInUseForTheLevel) {
  for (const int level : {30, 50, 70, 90}) {
    const std::string id = start({{"resource", "cpu"}, {"mode", "load"}, {"level", std::to_string(level) + "%"}});
    std::this_thread::sleep_for(seconds(3));  // the first looks at what others use
    const HostCpu before = host_cpu();
    std::this_thread::sleep_for(seconds(15));  // a span to divide by
    const HostCpu after = host_cpu();
    const double used = 100 * (after.used - before.used) / (after.all - before.all);
    report_figure("CPU of the host at a level of " + std::to_string(level) + "%", used, "%");
    EXPECT_NEAR(used, level, 3 * time_scale());  // an emulated CPU's time comes in pieces
    stop(id);
  }
}

TEST_F(HostLoad, RedisLivesBesideMemoryAtNinetyPercentAndTheFloorHolds) {
  const Redis redis;
  redis.fill(20'000);
  const double whole = meminfo("MemTotal");
  const std::string id = start({{"resource", "memory"}, {"mode", "pressure"}, {"level", "90%"}});
  const auto used = [&] { return 100 * (1 - meminfo("MemAvailable") / whole); };
  EXPECT_TRUE(eventually([&] { return std::abs(used() - 90) < 2; }, seconds(60))) << used();
  double most = 0;
  const auto began = steady_clock::now();
  int works = 0;
  while (steady_clock::now() - began < seconds(60)) {
    most = std::max(most, used());
    ASSERT_TRUE(redis.works());
    ++works;
  }
  report_figure("memory in use after 60 s at a level of 90%", used(), "%");
  report_figure("at most", most, "%");
  report_figure("redis answered", works, "times");
  EXPECT_NEAR(used(), 90, 2);
  EXPECT_LT(most, 95);
  EXPECT_TRUE(redis.running());
  EXPECT_EQ(load_workers(daemon_->instance()).size(), 1U);
  stop(id);
  EXPECT_TRUE(eventually([&] { return used() < 80; })) << used();
}

}  // namespace
}  // namespace chaos::test
