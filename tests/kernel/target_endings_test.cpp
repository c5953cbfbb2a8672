// However chaosd ends, hangs or is stopped by its brake: what each kind of target and each way of hitting it injected
// is over at once. Observer: a socket that counts what one process sends; its neighbour talks throughout.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "loss_support.h"
#include "puppet.h"
#include "support/cgroup.h"
#include "support/kernel_test.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/temp_dir.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// One process that every kind of target can name, and a neighbour in the same namespace that none of them hits.
struct World {
  World() {
    std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
    const auto program = dir.path() / "chaosprobe";
    std::filesystem::copy_file("/bin/bash", program);
    target = std::make_unique<Puppet>(net.left, program.string(), "setpriv --reuid 61234 --clear-groups ");
    cgroup.add(target->pid());
    Daemon::Setup setup;
    setup.config += "services: {web: {cgroup: " + cgroup.path() + "}}\n";
    daemon = std::make_unique<Daemon>(std::move(setup));
  }
  VethPair net{"endings"};
  TempDir dir;
  TestCgroup cgroup{"endings"};
  Counter counter{net};
  std::unique_ptr<Puppet> target;
  Puppet neighbour{net.left};
  std::unique_ptr<Daemon> daemon;
};

struct Way {
  const char* name;
  const char* kind;
  std::function<json(const World&)> target;
  json parameters;
};

const json kAll{{"probability", "100%"}};

std::vector<Way> ways() {
  const auto cgroup = [](const World& world) { return json{{"cgroup", world.cgroup.path()}}; };
  const auto to_peer = [](const World& world) {
    return json{{"cgroup", world.cgroup.path()}, {"peer", "10.77.0.0/24"}};
  };
  const auto here = [](const World& world, const char* key, const char* value) {
    return json{{"netns", world.net.left.name()}, {key, value}};
  };
  return {
      {"Cgroup", "packet_loss", cgroup, kAll},
      {"Service", "packet_loss",
       [](const World&) {
         return json{{"service", "web"}};
       },
       kAll},
      {"Pid", "packet_loss",
       [](const World& world) {
         return json{{"pid", std::to_string(world.target->pid())}};
       },
       kAll},
      {"Uid", "packet_loss", [here](const World& world) { return here(world, "uid", "61234"); }, kAll},
      {"Comm", "packet_loss", [here](const World& world) { return here(world, "comm", "chaosprobe"); }, kAll},
      {"GilbertElliott",
       "packet_loss",
       cgroup,
       {{"model", "gilbert_elliott"}, {"p", "100%"}, {"r", "1%"}, {"good_loss", "100%"}, {"bad_loss", "100%"}}},
      {"EveryNth", "packet_loss", cgroup, {{"model", "every_nth"}, {"n", 1}}},
      {"PerFlow", "packet_loss", cgroup, {{"model", "per_flow"}, {"share", "100%"}, {"probability", "100%"}}},
      {"Blackhole", "network_partition", to_peer, json::object()},
      {"Reject", "network_partition", to_peer, {{"mode", "reject"}}},
      {"RejectOfUser",
       "network_partition",
       [](const World& world) {
         return json{{"netns", world.net.left.name()}, {"uid", "61234"}, {"peer", "10.77.0.0/24"}};
       },
       {{"mode", "reject"}}},
  };
}

/// All ways one after the other in one world: to make one takes longer than what happens in it.
class TargetEndings : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    world_ = std::make_unique<World>();
  }
  std::string begin(const Way& way) {
    std::string id = id_of(world_->daemon->run_scenario(
        {{"kind", way.kind}, {"target", way.target(*world_)}, {"parameters", way.parameters}, {"duration", "120s"}}));
    EXPECT_FALSE(hears_target()) << way.name;
    EXPECT_TRUE(hears_neighbour()) << way.name;
    return id;
  }
  bool hears_target() { return world_->counter.reached_by(*world_->target); }
  bool hears_neighbour() { return world_->counter.reached_by(world_->neighbour); }
  [[nodiscard]] Daemon& daemon() { return *world_->daemon; }

  std::unique_ptr<World> world_;
};

TEST_F(TargetEndings, Killed) {
  for (const Way& way : ways()) {
    (void)begin(way);
    const BpfObjects objects = bpf_objects_of(daemon().pid());
    daemon().signal(SIGKILL);
    (void)daemon().wait();
    EXPECT_TRUE(hears_target()) << way.name;
    EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); })) << way.name;
    daemon().start();
  }
}

TEST_F(TargetEndings, HungDaemonLosesItsLeaseAndReAppliesNothing) {
  for (const Way& way : ways()) {
    const std::string id = begin(way);
    daemon().signal(SIGSTOP);
    const auto stopped = steady_clock::now();
    EXPECT_TRUE(eventually([this] { return hears_target(); }, milliseconds(3000))) << way.name;
    // A look lasts up to 300 ms.
    EXPECT_LE(steady_clock::now() - stopped, milliseconds(2500) * time_scale()) << way.name;
    daemon().signal(SIGCONT);
    const json record = wait_for_end(daemon(), id);
    EXPECT_EQ(record.value("end_reason", ""), "lapsed") << way.name << record.dump(1);
    EXPECT_TRUE(hears_target()) << way.name;
    ASSERT_TRUE(eventually([this] { return daemon().get("/health").body.value("lease_margin_ms", -1) > 0; }));
  }
}

TEST_F(TargetEndings, EmergencyStop) {
  for (const Way& way : ways()) {
    const std::string id = begin(way);
    EXPECT_EQ(daemon().post("/api/chaos/emergency-stop").status, 200) << way.name;
    EXPECT_TRUE(hears_target()) << way.name;
    EXPECT_EQ(wait_for_end(daemon(), id).value("end_reason", ""), "emergency_stop") << way.name;
    EXPECT_TRUE(eventually([this] { return bpf_objects_of(daemon().pid()).links.empty(); })) << way.name;
    ASSERT_TRUE(eventually([this] { return daemon().post("/api/chaos/rearm").status == 200; })) << way.name;
  }
}

}  // namespace
}  // namespace chaos::test
