// However it ends, the path is straight afterwards: by a stop nothing is lost and nothing comes twice, by death or hang
// what is held is lost and the path straight at once. Observers: sockets, ping, ip(8), ids of kernel objects.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <thread>

#include "base/instance.h"
#include "delay_line_bed.h"
#include "kernel/features.h"
#include "ordered_flows.h"
#include "support/observe.h"
#include "support/time_scale.h"
#include "support/udp.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST_F(DelayLine, StoppedUnderLoadNothingIsLostAndNothingComesTwice) {
  // A clsact that goes away costs the device packets, by the kernel (the plan says so): here is one that stays.
  if (!has_tcx()) (void)shell("ip netns exec " + net_->left.name() + " tc qdisc add dev l0 clsact");
  const std::uint64_t softnet_before = softnet_drops();
  const std::string id = begin("latency_injection", {{"delay", "200ms"}});
  OrderedResult flow;
  std::thread traffic([&] {
    flow = run_ordered(*net_, {OrderedSpec{.packets = 30'000, .pace = std::chrono::microseconds(20)}}).front();
  });
  const bool underway =
      eventually([&] { return daemon_->scenario(id).at("counters").at("injected").get<std::uint64_t>() > 5000; });
  const json ended = daemon_->stop_scenario(id);
  traffic.join();
  EXPECT_TRUE(underway);
  const Sums sums(ended);
  EXPECT_GT(sums.injected, 5000U);
  EXPECT_EQ(sums.over_limit, 0U);
  // All that was held comes at once: what the receiver has no room for is the kernel's own loss.
  EXPECT_EQ(flow.received + flow.socket_drops + softnet_drops() - softnet_before, flow.sent);
  EXPECT_EQ(flow.repeated, 0U);
}

/// Small datagrams to the right host's port 6000, 64 by each call (UDP_SEGMENT): where the line's device does not take
/// them as one, far more than a line can move.
class Flood {
 public:
  explicit Flood(const VethPair& net) {
    constexpr int kSize = 22;
    for (std::uint16_t i = 0; i < 3; ++i) {
      const auto port = static_cast<std::uint16_t>(5000 + i);
      net.left.run([&] { senders_.push_back(std::make_unique<UdpSocket>("10.77.0.1", port)); });
      UdpSocket& sender = *senders_.back();
      sender.connect("10.77.0.2", 6000);
      const int failed = setsockopt(sender.fd(), SOL_UDP, UDP_SEGMENT, &kSize, sizeof kSize);
      if (failed != 0) throw std::runtime_error("send by segments");
      threads_.emplace_back([this, &sender] {
        const std::array<char, std::size_t{64} * kSize> datagrams{};
        while (!over_ && steady_clock::now() < last_) (void)::send(sender.fd(), datagrams.data(), datagrams.size(), 0);
      });
    }
  }
  ~Flood() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  std::atomic<bool> over_{false};
  // So that a stop that waits for its end comes back at all.
  const steady_clock::time_point last_ = steady_clock::now() + std::chrono::seconds(15);
  std::vector<std::unique_ptr<UdpSocket>> senders_;
  std::vector<std::thread> threads_;
};

TEST_F(DelayLine, OneIsStoppedWhileAnotherIsFlooded) {
  const std::string flooded =
      begin("packet_corruption", {{"probability", "100%"}}, "egress", {{"protocol", "udp"}, {"port", "6000"}});
  const std::string other = begin("latency_injection", {{"delay", "1ms"}}, "egress", {{"protocol", "icmp"}});
  // What the line's device had no room for, by the kernel's count.
  const auto outrun = [&] {
    return std::stoull(shell("ip netns exec " + net_->left.name() + " cat /sys/class/net/" +
                             device_name_prefix(daemon_->instance()) + "0/statistics/tx_dropped")) > 10'000;
  };
  json ended;
  steady_clock::duration took{};
  {
    const Flood flood(*net_);
    EXPECT_TRUE(eventually(outrun)) << "the line kept up: this flood is none";
    const auto asked = steady_clock::now();
    ended = daemon_->stop_scenario(other);
    took = steady_clock::now() - asked;
  }
  EXPECT_EQ(ended.value("state", ""), "completed");
  EXPECT_LT(took, std::chrono::seconds(3) * time_scale());
  EXPECT_TRUE(Sums(daemon_->stop_scenario(flooded)).closes());
}

TEST_F(DelayLine, StoppedWithDropInFlightWhatIsHeldIsDroppedAndCounted) {
  const std::string id = begin("latency_injection", {{"delay", "30s"}}, "egress", {{"protocol", "udp"}});
  const auto flow = run_ordered(*net_, {OrderedSpec{.packets = 100, .patience = milliseconds(200)}}).front();
  EXPECT_EQ(flow.received, 0U);
  const Response stopped = daemon_->post("/api/chaos/scenarios/" + id + "/stop", {{"drop_in_flight", true}});
  ASSERT_EQ(stopped.status, 200) << stopped.text;
  EXPECT_EQ(stopped.body.at("achieved").value("discarded", ""), "100");
}

/// When the path became straight after a blow, in ms: between the sending of the last packet that was lost and of the
/// first that came and after which none was lost. Far apart when the sender itself did not run.
struct Straight {
  double not_before = 0;
  double by = 0;
};

/// Sends from before `blow` until some have come, one each 0.2 ms; empty if none comes within 5 s.
std::optional<Straight> straight_after(const VethPair& net, const std::function<void()>& blow) {
  constexpr std::size_t kMost = 25'000;
  constexpr std::uint64_t kEnough = 200;
  std::unique_ptr<UdpSocket> sender;
  std::unique_ptr<UdpSocket> receiver;
  net.right.run([&] { receiver = std::make_unique<UdpSocket>("10.77.0.2", 6300); });
  net.left.run([&] { sender = std::make_unique<UdpSocket>("10.77.0.1", 5300); });
  sender->connect("10.77.0.2", 6300);
  std::vector<steady_clock::time_point> sent(kMost);
  std::atomic<std::size_t> count{0};
  std::atomic<bool> enough{false};
  std::thread sending([&] {
    auto next = steady_clock::now();
    while (!enough && count < kMost) {
      std::this_thread::sleep_until(next += std::chrono::microseconds(200));
      sent[count] = steady_clock::now();
      (void)sender->send_numbers(count, 1);
      ++count;
    }
  });
  const bool underway = eventually([&] { return count > 20; });
  const auto struck = steady_clock::now();
  blow();
  std::vector<bool> seen;
  std::uint64_t came = 0;
  const bool straight =
      underway && eventually([&] { return (came += receiver->drain(seen)) > kEnough; }, std::chrono::seconds(5));
  enough = true;
  sending.join();
  if (!straight) return std::nullopt;
  eventually([&] { return (came += receiver->drain(seen)) > count; }, milliseconds(20));
  std::size_t first = std::min<std::size_t>(seen.size(), count);
  while (first > 0 && seen[first - 1]) --first;
  // The last may still be on their way.
  if (first >= seen.size()) return std::nullopt;
  const auto since = [&](std::size_t number) {
    return std::chrono::duration<double, std::milli>(sent[number] - struck).count();
  };
  return Straight{.not_before = first > 0 ? std::max(since(first - 1), 0.0) : 0, .by = since(first)};
}

TEST_F(DelayLine, KilledWithPacketsInFlightThePathIsStraightAtOnce) {
  const auto routes = [this] {
    return try_shell("ip -n " + net_->left.name() + " route show table all; ip -n " + net_->left.name() +
                     " -6 route show table all; ip -n " + net_->left.name() + " -o link | cut -d: -f2")
        .output;
  };
  const std::string before = routes();
  Timings times;
  const std::size_t wanted = by_size(2, 50);
  // A round in which the observer did not run when it mattered says nothing; so may no more than every second one.
  std::size_t rounds = 0;
  for (; times.count() < wanted && rounds < 2 * wanted; ++rounds) {
    if (!daemon_->running()) daemon_->start();
    const std::string id = begin("latency_injection", {{"delay", "60s"}}, "both", {{"protocol", "udp"}});
    const auto held = run_ordered(*net_, {OrderedSpec{.packets = 10'000, .patience = milliseconds(50)}}).front();
    EXPECT_EQ(held.received, 0U);
    ASSERT_TRUE(
        eventually([&] { return daemon_->scenario(id).at("counters").at("injected").get<std::uint64_t>() == 10'000; }));
    const BpfObjects objects = bpf_objects_of(daemon_->pid());
    ASSERT_FALSE(objects.programs.empty());
    const auto after = straight_after(*net_, [this] { daemon_->signal(SIGKILL); });
    (void)daemon_->wait();
    ASSERT_TRUE(after.has_value()) << "nothing came";
    if (after->by - after->not_before < 5 * time_scale()) times.add(Timings::Milliseconds(after->by));
    EXPECT_TRUE(eventually([&] { return still_there(objects).empty() && !lines_left(); }));
    EXPECT_EQ(routes(), before);
  }
  ASSERT_EQ(times.count(), wanted) << "the machine is too busy to observe it";
  report_figure("kills that were not observed", static_cast<double>(rounds - wanted), "rounds");
  times.report("killed with 10000 packets in flight, until the path is straight");
  if (full_size()) {
    EXPECT_LE(times.percentile(99), 20 * time_scale());
  }
  EXPECT_LE(times.max(), 100 * time_scale());
}

TEST_F(DelayLine, HungChaosdLosesItsLeaseAndThePathIsStraight) {
  const std::string id = begin("latency_injection", {{"delay", "500ms"}});
  const auto after = straight_after(*net_, [this] { daemon_->signal(SIGSTOP); });
  daemon_->signal(SIGCONT);
  ASSERT_TRUE(after.has_value()) << "nothing came";
  report_figure("stopped, until the path is straight", after->by, "ms");
  EXPECT_LE(after->by, 1300 * time_scale());
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "lapsed");
  EXPECT_TRUE(eventually([&] { return !lines_left(); }));
  EXPECT_LT(least(round_trips("10.77.0.2")), 100.0 * time_scale());
}

TEST_F(DelayLine, ItsDeviceIsNoResidueWhileItLivesAndOneThatNobodyOwnsIs) {
  const auto residue = [this] { return daemon_->get("/api/chaos/residue").body; };
  const std::string id = begin("latency_injection", {{"delay", "1ms"}});
  const std::string name = device_name_prefix(daemon_->instance()) + "0";
  ASSERT_EQ(try_shell("ip -n " + net_->left.name() + " link show " + name).status, 0);
  EXPECT_TRUE(residue().value("clean", false)) << residue();
  (void)daemon_->stop_scenario(id);
  (void)shell("ip -n " + net_->left.name() + " link add " + name + " type veth peer name stray");
  const json found = residue();
  ASSERT_EQ(found.at("residue").size(), 1U) << found;
  EXPECT_EQ(found.at("residue").at(0).at("class"), "device");
  EXPECT_EQ(found.at("residue").at(0).at("id"), name);
  (void)shell("ip -n " + net_->left.name() + " link del " + name);
  EXPECT_TRUE(residue().value("clean", false)) << residue();
}

TEST_F(DelayLine, ANamespaceThatEndsTakesTheLineAlong) {
  auto mortal = std::make_unique<VethPair>("mortal");
  const json started = daemon_->run_scenario({{"kind", "latency_injection"},
                                              {"target", {{"netns", mortal->left.name()}, {"interface", "l0"}}},
                                              {"parameters", {{"delay", "10ms"}}},
                                              {"duration", "120s"}});
  mortal.reset();
  EXPECT_EQ(wait_for_end(*daemon_, id_of(started)).value("end_reason", ""), "target_gone");
  EXPECT_EQ(daemon_->get("/api/chaos/residue").body.value("clean", false), true);
}

}  // namespace
}  // namespace chaos::test
