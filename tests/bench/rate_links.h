// RateLink: one veth pair between two namespaces of its own, with one means of losing packets on it, and the sender
// that all of them share. Everything goes with the object. Needs root; throws std::runtime_error. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/own_engine.h"
#include "support/net.h"
#include "support/udp.h"

namespace chaos::bench {

inline constexpr std::uint16_t kRatePort = 9000;

enum class Means { kNone, kChaosd, kNftEgress, kNftOutput, kIptables, kIptablesLegacy };

struct Burst {
  std::uint64_t sent = 0;
  double wall_seconds = 0;
  double cpu_seconds = 0;  ///< of the sending thread, the receiving half of the path included
};

class RateLink {
 public:
  /// Loses 1 % of UDP packets to kRatePort on their way out of the left namespace. `engine` for kChaosd only. Throws
  /// if this host lacks the means.
  RateLink(Means means, OwnEngine* engine);
  ~RateLink();
  RateLink(const RateLink&) = delete;
  RateLink& operator=(const RateLink&) = delete;

  /// Sends small packets one by one for `seconds`, on the calling thread, in whatever namespace that is.
  [[nodiscard]] Burst send_for(double seconds) const;
  /// Packets that have come out of the other end so far.
  [[nodiscard]] std::uint64_t received() const;

 private:
  void install(Means means);

  test::VethPair pair_;
  OwnEngine* engine_;
  unsigned fault_ = 0;
  bool injecting_ = false;
  std::unique_ptr<test::UdpSocket> sink_;  ///< never read: its buffer stays full, for all means alike
  std::unique_ptr<test::UdpSocket> source_;
};

}  // namespace chaos::bench
