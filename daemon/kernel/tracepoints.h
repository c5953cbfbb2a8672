// Tracepoints: what this kernel's tracepoints tell, and its names of drop reasons, by its BTF: both drift between
// versions. Any thread; the first call reads the kernel's types (some 50 ms), the rest is a look at what it found.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace chaos {

struct Tracepoints {
  bool drop_reasons = false;           ///< kfree_skb has a reason (5.17)
  bool drop_receivers = false;         ///< and the socket that the packet was for (6.11)
  bool retransmit_results = false;     ///< tcp_retransmit_skb is told of failures as well (6.17)
  bool resets_without_socket = false;  ///< tcp_send_reset is told of all resets (6.10)
  bool victim_is_task = false;         ///< mark_victim has the task and not its number (6.8)
  /// By value, without the prefix: "NO_SOCKET".
  std::map<std::uint32_t, std::string> reasons;
  /// By number: "OPENVSWITCH" (6.4).
  std::map<std::uint32_t, std::string> reason_subsystems;

  /// Of the place in chaos_net_counts.drops.
  [[nodiscard]] std::string drop_reason(std::uint32_t place) const;
};

/// Error: kUnsupported if the kernel has no BTF.
[[nodiscard]] const Result<Tracepoints>& tracepoints();

}  // namespace chaos
