// Classic tc for kernels without tcx (before 6.6): a clsact qdisc and BPF filters in direct-action mode. Everything
// here works on the calling thread's network namespace and outlives the process: whoever calls it keeps an undo record.
// Needs CAP_NET_ADMIN. Blocks for some 0.5 ms; worker threads, guardian, chaosctl.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace chaos {

class Netlink;

/// Filters of these two are looked at; a device has both with clsact.
enum class TcSide : std::uint8_t { kIngress, kEgress };

struct TcFilter {
  std::uint32_t parent = 0;
  std::uint32_t priority = 0;
  std::uint32_t handle = 0;
  std::uint32_t program = 0;  ///< BPF program id; 0: no BPF filter
  std::string name;           ///< BPF filters: the program's name as tc shows it
};

[[nodiscard]] std::uint32_t tc_parent(TcSide side);

/// All filters on a device's parent (qdisc or clsact side), of whatever kind. Error: kInternal.
[[nodiscard]] Result<std::vector<TcFilter>> list_tc_filters(Netlink& route, unsigned ifindex, std::uint32_t parent);

/// False also when the device is gone.
[[nodiscard]] Result<bool> has_clsact(unsigned ifindex);
/// Errors: kRefused (EEXIST: somebody was faster, or an ingress qdisc is in the way), kNotFound (no device), kInternal.
[[nodiscard]] Status add_clsact(unsigned ifindex);
/// Takes the qdisc away if no filter of anybody's hangs on it. True: it is gone, now or before.
[[nodiscard]] Result<bool> remove_clsact_if_empty(unsigned ifindex);

/// The lowest priority that no filter of this side has: before all others where 1 is free.
[[nodiscard]] Result<std::uint32_t> free_tc_priority(unsigned ifindex, TcSide side);
/// Errors: kRefused (the place is taken), kNotFound, kInternal.
[[nodiscard]] Status add_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority, std::uint32_t handle,
                                   int program_fd);
/// What is there at this place; empty: nothing, no qdisc, no device.
[[nodiscard]] Result<std::optional<TcFilter>> find_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority,
                                                             std::uint32_t handle);
/// Error: kInternal. Not being there is no error.
[[nodiscard]] Status remove_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority, std::uint32_t handle);

}  // namespace chaos
