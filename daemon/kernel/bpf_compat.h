// What libbpf 1.1 does not know yet, by the bpf(2) interface itself: tcx links (Linux 6.6, commit e420bed02507) and
// small id helpers. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

struct TcxLinkInfo {
  std::uint32_t id = 0;
  std::uint32_t program_id = 0;
  std::uint32_t ifindex = 0;  ///< 0: the device is gone
  bool egress = false;
};

/// A link at the head of the device's tcx chain, in the calling thread's network namespace. Needs CAP_NET_ADMIN.
/// Errors: kNotFound (no device), kUnsupported (EINVAL before 6.6), kInternal. Takes 14..22 ms.
[[nodiscard]] Result<UniqueFd> tcx_link_create(int program_fd, unsigned ifindex, bool egress);
/// Error: kInternal, also if the fd is no tcx link.
[[nodiscard]] Result<TcxLinkInfo> tcx_link_info(int link_fd);
/// A link at a cgroup of the v2 tree, beside other owners' (BPF_CGROUP_INET_INGRESS, ...). Needs CAP_NET_ADMIN. Errors:
/// kNotFound (the cgroup is gone), kInternal. Takes 0.1..0.5 ms.
[[nodiscard]] Result<UniqueFd> cgroup_link_create(int program_fd, int cgroup_fd, int attach_type);
/// Of the cgroup that the link hangs on; 0 once it is gone.
[[nodiscard]] std::uint64_t cgroup_link_target(int link_fd);
/// 0 on error.
[[nodiscard]] std::uint32_t bpf_link_id(int fd);
/// Waits until the kernel has freed the program with this id: what used it last lets go behind an RCU grace period.
/// False if it is there after `limit`. Needs CAP_SYS_ADMIN.
bool wait_for_program_end(std::uint32_t program_id, std::chrono::milliseconds limit);
/// The same for a map.
bool wait_for_map_end(std::uint32_t map_id, std::chrono::milliseconds limit);
/// 0 on error.
[[nodiscard]] std::uint32_t bpf_program_id(int fd);
[[nodiscard]] std::uint32_t bpf_map_id(int fd);

}  // namespace chaos
