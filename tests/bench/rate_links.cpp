#include "bench/rate_links.h"

#include <sys/socket.h>
#include <time.h>

#include <array>
#include <chrono>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace chaos::bench {
namespace {

constexpr std::size_t kPayload = 18;
constexpr unsigned kBetweenClockReads = 64;

double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

RateLink::RateLink(Means means, OwnEngine* engine) : pair_("rate"), engine_(engine) {
  install(means);
  pair_.right.run([this] {
    sink_ = std::make_unique<test::UdpSocket>("10.77.0.2", kRatePort);
    const int smallest = 1;
    setsockopt(sink_->fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest));
  });
  pair_.left.run([this] {
    source_ = std::make_unique<test::UdpSocket>("10.77.0.1", kRatePort + 1);
    source_->connect("10.77.0.2", kRatePort);
  });
  (void)send_for(0.01);  // resolves the neighbour and fills the sink's buffer
}

RateLink::~RateLink() {
  if (injecting_) (void)engine_->end(fault_);
}

void RateLink::install(Means means) {
  const test::Namespace& ns = pair_.left;
  const std::string port = std::to_string(kRatePort);
  const std::string nft_rule = "udp dport " + port + " numgen random mod 100 < 1 drop";
  const std::string statistic =
      " -A OUTPUT -p udp --dport " + port + " -m statistic --mode random --probability 0.01 -j DROP";
  switch (means) {
    case Means::kNone:
      return;
    case Means::kChaosd:
      fault_ = engine_->lose({{"interface", {"l0"}},
                              {"netns", {ns.name()}},
                              {"protocol", {"udp"}},
                              {"port", {port}},
                              {"direction", {"egress"}}},
                             "1%");
      injecting_ = true;
      return;
    case Means::kNftEgress:
      ns.command("nft 'table netdev bench { chain c { type filter hook egress device l0 priority 0; " + nft_rule +
                 "; }; }'");
      return;
    case Means::kNftOutput:
      ns.command("nft 'table inet bench { chain c { type filter hook output priority 0; " + nft_rule + "; }; }'");
      return;
    case Means::kIptables:
      ns.command("iptables" + statistic);
      return;
    case Means::kIptablesLegacy:
      ns.command("iptables-legacy" + statistic);
      return;
  }
}

std::uint64_t RateLink::received() const {
  std::uint64_t packets = 0;
  pair_.right.run([&packets] {
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string name; file >> name; file.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
      std::uint64_t bytes = 0;
      if (name == "r0:" && file >> bytes >> packets) return;
    }
    throw std::runtime_error("no counters of r0");
  });
  return packets;
}

Burst RateLink::send_for(double seconds) const {
  Burst burst;
  const std::array<char, kPayload> payload{};
  const double cpu_start = thread_cpu_seconds();
  const double start = wall_seconds();
  double now = start;
  while (now - start < seconds) {
    // A drop in the output hook comes back as EPERM: it was sent all the same, as far as this count is concerned.
    for (unsigned i = 0; i < kBetweenClockReads; ++i) (void)send(source_->fd(), payload.data(), payload.size(), 0);
    burst.sent += kBetweenClockReads;
    now = wall_seconds();
  }
  burst.wall_seconds = now - start;
  burst.cpu_seconds = thread_cpu_seconds() - cpu_start;
  return burst;
}

}  // namespace chaos::bench
