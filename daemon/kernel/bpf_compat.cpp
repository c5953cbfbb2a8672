#include "kernel/bpf_compat.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <thread>

namespace chaos {
namespace {

// include/uapi/linux/bpf.h of 6.6; Debian 12's headers are older.
constexpr std::uint32_t kTcxIngress = 46;
constexpr std::uint32_t kTcxEgress = 47;
constexpr std::uint32_t kBefore = 1U << 3;  // BPF_F_BEFORE: with no relative object, the head of the chain
constexpr std::uint32_t kLinkTypeTcx = 11;

struct LinkCreateAttr {
  std::uint32_t program_fd;
  std::uint32_t ifindex;
  std::uint32_t attach_type;
  std::uint32_t flags;
  std::uint32_t relative_fd;
  std::uint32_t pad;
  std::uint64_t expected_revision;
  std::uint64_t zero[4];
};

struct LinkInfoTcx {
  std::uint32_t type;
  std::uint32_t id;
  std::uint32_t program_id;
  std::uint32_t pad;
  std::uint32_t ifindex;
  std::uint32_t attach_type;
  std::uint64_t zero[12];
};

bool wait_for_end(int (*open_by_id)(__u32), std::uint32_t id, std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (UniqueFd(open_by_id(id)).valid()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace

Result<UniqueFd> tcx_link_create(int program_fd, unsigned ifindex, bool egress) {
  LinkCreateAttr attr{};
  attr.program_fd = static_cast<std::uint32_t>(program_fd);
  attr.ifindex = ifindex;
  attr.attach_type = egress ? kTcxEgress : kTcxIngress;
  attr.flags = kBefore;
  UniqueFd link(static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr))));
  if (link.valid()) return link;
  const std::string what = "attach to ifindex " + std::to_string(ifindex) + (egress ? " egress" : " ingress");
  switch (errno) {
    case ENODEV:
      return fail(Errc::kNotFound, what + ": the interface is gone", "target.interface");
    case EINVAL:
      return fail(Errc::kUnsupported, what + ": this kernel has no tcx (needs Linux 6.6)", {}, "tcx",
                  "chaos_testing.packet_hook: auto takes clsact instead");
    default:
      return fail_errno(what);
  }
}

Result<TcxLinkInfo> tcx_link_info(int link_fd) {
  LinkInfoTcx info{};
  std::uint32_t length = sizeof(info);
  if (bpf_obj_get_info_by_fd(link_fd, &info, &length) != 0) return fail_errno("read link info");
  if (info.type != kLinkTypeTcx) return fail(Errc::kInternal, "not a tcx link");
  return TcxLinkInfo{info.id, info.program_id, info.ifindex, info.attach_type == kTcxEgress};
}

Result<UniqueFd> cgroup_link_create(int program_fd, int cgroup_fd, int attach_type) {
  UniqueFd link(bpf_link_create(program_fd, cgroup_fd, static_cast<bpf_attach_type>(attach_type), nullptr));
  if (link.valid()) return link;
  if (errno == ENODEV || errno == ENOENT) return fail(Errc::kNotFound, "the cgroup is gone", "target");
  return fail_errno("attach to the cgroup");
}

std::uint64_t cgroup_link_target(int link_fd) {
  bpf_link_info info{};
  std::uint32_t length = sizeof(info);
  return bpf_obj_get_info_by_fd(link_fd, &info, &length) == 0 ? info.cgroup.cgroup_id : 0;
}

std::uint32_t bpf_link_id(int fd) {
  bpf_link_info info{};
  std::uint32_t length = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

bool wait_for_program_end(std::uint32_t program_id, std::chrono::milliseconds limit) {
  return wait_for_end(bpf_prog_get_fd_by_id, program_id, limit);
}

bool wait_for_map_end(std::uint32_t map_id, std::chrono::milliseconds limit) {
  return wait_for_end(bpf_map_get_fd_by_id, map_id, limit);
}

std::uint32_t bpf_program_id(int fd) {
  bpf_prog_info info{};
  std::uint32_t length = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

std::uint32_t bpf_map_id(int fd) {
  bpf_map_info info{};
  std::uint32_t length = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

}  // namespace chaos
