// UDP flows whose receivers look at the order in which numbered datagrams come, and at those that come twice; they wait
// as long as something is expected.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "support/net.h"

namespace chaos::test {

struct OrderedSpec {
  std::uint16_t source_port = 5000;
  std::uint16_t port = 6000;
  std::uint64_t packets = 10'000;
  std::size_t size = 64;
  std::chrono::nanoseconds pace = std::chrono::microseconds(20);  ///< between two datagrams
  /// Without an arrival for this long after the last sending, the rest is taken for lost.
  std::chrono::milliseconds patience{1500};
};

struct OrderedResult {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;  ///< each number once
  std::uint64_t repeated = 0;
  std::uint64_t inversions = 0;  ///< came after a later one, not counting repeats
  std::uint64_t socket_drops = 0;
  std::chrono::nanoseconds span{0};  ///< from the first arrival to the last
};

/// One-way delays in ms of `packets` datagrams, `pace` apart, over so many flows that those of one are far apart: from
/// just before each is sent to when the kernel received it. What is lost is left out.
std::vector<double> one_way_delays(const VethPair& net, std::uint64_t packets, std::chrono::microseconds pace);

/// From the left host to the right one, all at once.
std::vector<OrderedResult> run_ordered(const VethPair& net, const std::vector<OrderedSpec>& flows);

}  // namespace chaos::test
