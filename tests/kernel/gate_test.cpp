// The gate in the kernel, program by program (BPF_PROG_TEST_RUN): what passes it, what is counted, and that budgets and
// flow numbers stay exact when CPUs meet. Observer: the program's verdicts.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <time.h>

#include <chrono>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/instance.h"
#include "kernel/classifier.h"
#include "kernel/packet_programs.h"
#include "kernel/shared_maps.h"
#include "support/frames.h"
#include "support/kernel_test.h"
#include "support/time_scale.h"

namespace chaos::test {
namespace {

constexpr std::uint64_t kAlways = 1ULL << 32;
constexpr std::uint64_t kHalf = 1ULL << 31;
constexpr unsigned kSlot = 3;
constexpr std::uint32_t kTaken = 7;  ///< TC_ACT_REDIRECT: to no device, which loses the packet

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

/// The classifier with one fault on the egress of one slot; no link, no packet of anybody else's.
class Gate : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    const std::string tag = instance_tag("gate" + std::to_string(::getpid()));
    maps_.emplace(must(SharedMaps::create(tag)));
    programs_.emplace(must(PacketPrograms::load(*maps_, tag)));
    classifier_.emplace(*maps_);
    maps_->control().armed = 1;
    maps_->control().lease_until_ns = std::numeric_limits<std::uint64_t>::max();
    maps_->slot(kSlot).l2_len = 14;
    classifier_->add_to_slot(0, kSlot, CHAOS_EGRESS);
  }

  void activate(const chaos_fault& fault) {
    maps_->fault(0) = fault;
    ASSERT_TRUE(classifier_->install(0, {}));
    classifier_->activate(0);
  }
  static chaos_fault fault(std::uint64_t threshold, std::uint64_t generation = 1) {
    chaos_fault made{};
    made.seed = 42;
    made.threshold = threshold;
    made.deadline_boot_ns = CHAOS_NO_DEADLINE;
    made.generation = generation;
    return made;
  }

  /// Runs the classifier `repeat` times on the frame; the last verdict.
  [[nodiscard]] std::uint32_t run(const Frame& frame, std::uint32_t repeat = 1) const {
    __sk_buff context{};
    context.cb[CHAOS_CB_WORD] = kSlot << 1 | CHAOS_EGRESS;
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = static_cast<int>(repeat));
    if (bpf_prog_test_run_opts(programs_->classifier_fd(), &opts) != 0) {
      throw std::runtime_error(std::string("BPF_PROG_TEST_RUN: ") + std::strerror(errno));
    }
    return opts.retval;
  }
  [[nodiscard]] chaos_counters counters() const { return maps_->read_counters(0); }

  std::optional<SharedMaps> maps_;
  std::optional<PacketPrograms> programs_;
  std::optional<Classifier> classifier_;
};

TEST_F(Gate, DisarmedNothingActsAndNothingIsCounted) {
  activate(fault(kAlways));
  const Frame frame = udp_frame({}, 1000, 2000);
  ASSERT_EQ(run(frame), kTaken);
  ASSERT_EQ(counters().injected, 1U);
  maps_->control().armed = 0;
  EXPECT_EQ(static_cast<int>(run(frame)), -1);
  EXPECT_EQ(counters().injected, 1U);
  EXPECT_EQ(counters().spared_expired, 0U);
  EXPECT_EQ(maps_->read_seen(kSlot, CHAOS_EGRESS), 1U);
}

TEST_F(Gate, LeaseAndDeadlineEachEndIt) {
  activate(fault(kAlways));
  const Frame frame = udp_frame({}, 1000, 2000);
  maps_->control().lease_until_ns = 1;
  EXPECT_EQ(static_cast<int>(run(frame)), -1);
  EXPECT_EQ(counters().spared_expired, 1U);
  maps_->control().lease_until_ns = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(run(frame), kTaken);
  maps_->fault(0).deadline_boot_ns = 1;
  EXPECT_EQ(static_cast<int>(run(frame)), -1);
  EXPECT_EQ(counters().spared_expired, 2U);
  EXPECT_EQ(counters().injected, 1U);
}

TEST_F(Gate, ADeadlineIsKeptToATick) {
  using std::chrono::milliseconds;
  const auto boot_time = [] {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  constexpr milliseconds kTick{10};  // of 100 Hz, the longest that there is
  const Frame frame = udp_frame({}, 1000, 2000);
  for (int round = 0; round < 10; ++round) {
    chaos_fault ending = fault(kAlways);
    const auto deadline = boot_time() + milliseconds(30);
    ending.deadline_boot_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(deadline).count());
    activate(ending);
    ASSERT_EQ(run(frame), kTaken);
    // Packets all the time, so that each tick has had its first.
    for (auto before = boot_time(); run(frame) == kTaken; before = boot_time()) {
      ASSERT_LE(before, deadline + kTick * time_scale()) << "round " << round;
    }
    EXPECT_GE(boot_time(), deadline) << "round " << round;
  }
}

TEST_F(Gate, ABudgetIsExactWhenCpusMeet) {
  constexpr std::uint64_t kBudget = 400'000;
  constexpr std::uint32_t kEach = 1'000'000;
  chaos_fault limited = fault(kAlways);
  limited.max_events = kBudget;
  activate(limited);
  std::vector<std::thread> senders;
  for (std::uint16_t i = 0; i < 2; ++i) {
    senders.emplace_back([this, i] { (void)run(udp_frame({}, static_cast<std::uint16_t>(1000 + i), 2000), kEach); });
  }
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(counters().injected, kBudget);
  EXPECT_EQ(counters().spared_budget, 2 * std::uint64_t{kEach} - kBudget);
}

TEST_F(Gate, FlowNumbersAreExactWhenCpusMeet) {
  // However two CPUs share one flow's packets: over all of them the same number is lost.
  constexpr std::uint32_t kEach = 500'000;
  const Frame frame = udp_frame({}, 1000, 2000);
  activate(fault(kHalf, 1));
  std::thread other([&] { (void)run(frame, kEach); });
  (void)run(frame, kEach);
  other.join();
  const std::uint64_t together = counters().injected;
  activate(fault(kHalf, 2));
  (void)run(frame, 2 * kEach);
  EXPECT_EQ(counters().injected - together, together);
}

TEST_F(Gate, FlowsThatFindTheirLineFullKeepTheirNumbers) {
  // By Poisson, every sixth of them finds its line full.
  constexpr unsigned kFlows = 30'000;
  constexpr unsigned kPackets = 6;
  const auto lost_by_flow = [&] {
    std::vector<unsigned> lost(kFlows);
    for (unsigned packet = 0; packet < kPackets; ++packet) {
      for (unsigned flow = 0; flow < kFlows; ++flow) {
        const Frame frame = udp_frame({}, static_cast<std::uint16_t>(1024 + flow), 2000);
        lost[flow] = lost[flow] << 1 | (run(frame) == kTaken ? 1U : 0U);
      }
    }
    return lost;
  };
  activate(fault(kHalf, 7));
  const std::vector<unsigned> first = lost_by_flow();
  classifier_->silence(0);
  maps_->forget_flows(7);
  activate(fault(kHalf, 8));
  EXPECT_EQ(lost_by_flow(), first);

  // Numbers that stood still would repeat one decision: all or nothing for every flow.
  unsigned uniform = 0;
  for (const unsigned lost : first) uniform += lost == 0 || lost == (1U << kPackets) - 1 ? 1 : 0;
  constexpr double kExpected = 2.0 / (1U << kPackets);
  EXPECT_LT(uniform, 1.2 * kExpected * kFlows);
  EXPECT_GT(uniform, 0.8 * kExpected * kFlows);
}

TEST_F(Gate, FlowsOfAnEndedActivationFreeTheirPlaces) {
  std::uint64_t generation = 0;
  // Without freeing, the third round would find all lines full.
  for (int round = 0; round < 5; ++round) {
    activate(fault(kHalf, ++generation));
    for (unsigned flow = 0; flow < 20'000; ++flow) {
      (void)run(udp_frame({}, static_cast<std::uint16_t>(1024 + flow), 2000));
    }
    classifier_->silence(0);
    maps_->forget_flows(generation);
  }
  std::uint64_t key = 0;
  std::uint64_t next = 0;
  std::size_t spilled = 0;
  const int spilled_fd = maps_->fd_of("spilled_flows");
  for (void* at = nullptr; bpf_map_get_next_key(spilled_fd, at, &next) == 0; at = &key) {
    key = next;
    ++spilled;
  }
  // By Poisson, 6.4 % of 20,000 flows find no place in 8192 lines of four: five rounds of that, and no more.
  EXPECT_LT(spilled, 8'000U);
  EXPECT_GT(spilled, 5'000U);
}

TEST_F(Gate, ProtectedPortsAreSparedAndTheirNeighboursInTheSummaryAreNot) {
  SharedMaps::PortSet tcp;
  SharedMaps::PortSet udp;
  udp.set(2000);
  maps_->write_protected_ports(tcp, udp);
  activate(fault(kAlways));
  EXPECT_EQ(static_cast<int>(run(udp_frame({}, 1000, 2000))), -1);
  EXPECT_EQ(static_cast<int>(run(udp_frame({}, 2000, 1000))), -1);
  EXPECT_EQ(run(udp_frame({}, 1000, 2000 + CHAOS_PROTECTED_SUMMARY_BITS)), kTaken);
  EXPECT_EQ(counters().spared_protected, 2U);
  maps_->write_protected_ports(tcp, {});
  EXPECT_EQ(run(udp_frame({}, 1000, 2000)), kTaken);
}

}  // namespace
}  // namespace chaos::test
