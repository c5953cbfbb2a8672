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
/// Waits until the kernel has freed the program with this id: what used it last lets go behind an RCU grace period.
/// False if it is there after `limit`. Needs CAP_SYS_ADMIN.
bool wait_for_program_end(std::uint32_t program_id, std::chrono::milliseconds limit);
/// 0 on error.
[[nodiscard]] std::uint32_t bpf_program_id(int fd);
[[nodiscard]] std::uint32_t bpf_map_id(int fd);

}  // namespace chaos
