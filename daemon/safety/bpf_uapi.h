// What <linux/bpf.h> of Debian 12 (6.1) does not have yet, as newer kernels define it. Internal to safety/.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace chaos::bpf_uapi {

// enum bpf_attach_type, kernel 6.6 (commit e420bed02507, "bpf: Add fd-based tcx multi-prog infra with link support").
inline constexpr std::uint32_t kTcxIngress = 46;
inline constexpr std::uint32_t kTcxEgress = 47;
// enum bpf_link_type, same commit.
inline constexpr std::uint32_t kLinkTypeTcx = 11;
// enum bpf_cmd, kernel 4.15.
inline constexpr long kProgQuery = 16;
// BPF_MPROG_MAX of kernel/bpf/mprog.c, kernel 6.6 (commit 053c8e1f235d): programs on one hook of one device.
inline constexpr std::uint32_t kMaxTcxPrograms = 64;

/// struct bpf_link_info with the `tcx` member of its union (commit e420bed02507). The kernel fills what it knows and
/// wants the rest to be zero.
struct LinkInfo {
  std::uint32_t type = 0;
  std::uint32_t id = 0;
  std::uint32_t prog_id = 0;
  std::uint32_t pad = 0;
  std::uint32_t tcx_ifindex = 0;  ///< 0 once the device has gone
  std::uint32_t tcx_attach_type = 0;
  std::uint8_t rest[40] = {};
};
static_assert(offsetof(LinkInfo, tcx_ifindex) == 16, "the union starts at its 8-byte alignment");

/// union bpf_attr for BPF_PROG_QUERY with `target_ifindex`, `link_ids` and `revision` (kernel 6.6, commits
/// 053c8e1f235d and e420bed02507). A kernel without them answers EINVAL.
struct ProgQuery {
  std::uint32_t target_ifindex = 0;
  std::uint32_t attach_type = 0;
  std::uint32_t query_flags = 0;
  std::uint32_t attach_flags = 0;
  std::uint64_t prog_ids = 0;
  std::uint32_t count = 0;
  std::uint32_t pad = 0;
  std::uint64_t prog_attach_flags = 0;
  std::uint64_t link_ids = 0;
  std::uint64_t link_attach_flags = 0;
  std::uint64_t revision = 0;
};
static_assert(sizeof(ProgQuery) == 64);

/// bpf(2) BPF_PROG_QUERY; 0 or -1 with errno. Needs CAP_NET_ADMIN or CAP_BPF.
inline long prog_query(ProgQuery& query) { return ::syscall(SYS_bpf, kProgQuery, &query, sizeof query); }

}  // namespace chaos::bpf_uapi
