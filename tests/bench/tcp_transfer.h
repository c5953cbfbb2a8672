// One bulk TCP transfer between two namespaces, over the delay link's addresses. Needs root; throws std::runtime_error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "support/net.h"

namespace chaos::bench {

inline constexpr std::uint16_t kTransferPort = 5201;

struct Transfer {
  double mbit_per_second = 0;  ///< acknowledged payload
  std::uint64_t segments_sent = 0;
  std::uint64_t retransmits = 0;
  double smallest_rtt_ms = 0;
  std::string congestion_control;  ///< as the kernel names it
};

/// Sends from `left` to `right` for `seconds`, counted from the moment the connection stands.
[[nodiscard]] Transfer transfer(const test::Namespace& left, const test::Namespace& right,
                                const std::string& congestion_control, double seconds);

}  // namespace chaos::bench
