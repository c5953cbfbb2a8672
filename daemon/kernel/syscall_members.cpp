#include "kernel/syscall_members.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>
#include <sys/syscall.h>
#include <syscall_members.skel.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "kernel/bpf_compat.h"
#include "kernel/processes.h"

namespace chaos {
namespace {

struct SkeletonDeleter {
  void operator()(syscall_members_bpf* skeleton) const { syscall_members_bpf__destroy(skeleton); }
};

/// A zombie has ended as well: nothing tells any more when its number becomes another's.
bool has_ended(const UniqueFd& pidfd) {
  pollfd waited{pidfd.get(), POLLIN, 0};
  return ::poll(&waited, 1, 0) != 0;
}

}  // namespace

struct SyscallMembers::Impl {
  int table = -1;
  std::unique_ptr<syscall_members_bpf, SkeletonDeleter> skeleton;
  std::vector<UniqueFd> links;

  /// True if the process lives and was none already.
  [[nodiscard]] Result<bool> add(pid_t pid) const {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) return false;
    const auto key = static_cast<__u32>(pid);
    const __u32 one = 1;
    if (bpf_map_update_elem(table, &key, &one, BPF_NOEXIST) != 0) {
      if (errno == EEXIST) return false;
      if (errno != E2BIG && errno != ENOSPC) return fail_errno("note a process");
      return fail(Errc::kRefused, "too many processes are the target", "target",
                  "at most " + std::to_string(CHAOS_MAX_PROCESSES));
    }
    // From here on the kernel takes it out when it ends; it may have ended before.
    if (!has_ended(pidfd)) return true;
    bpf_map_delete_elem(table, &key);
    return false;
  }
};

SyscallMembers::SyscallMembers(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SyscallMembers::SyscallMembers(SyscallMembers&&) noexcept = default;
SyscallMembers& SyscallMembers::operator=(SyscallMembers&&) noexcept = default;
SyscallMembers::~SyscallMembers() = default;

Result<SyscallMembers> SyscallMembers::watch(const SharedMaps& shared, const SyscallMaps& maps) {
  auto impl = std::make_unique<Impl>();
  impl->table = maps.members_fd();
  impl->skeleton.reset(syscall_members_bpf__open());
  if (!impl->skeleton) return fail_errno("open the programs that watch processes");
  if (Status status = shared.share_with(*impl->skeleton->obj, maps.fds()); !status) {
    return std::unexpected(status.error());
  }
  if (const int err = syscall_members_bpf__load(impl->skeleton.get()); err != 0) {
    return fail_errno("load the programs that watch processes", -err);
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, impl->skeleton->obj) {
    UniqueFd link(bpf_raw_tracepoint_open(nullptr, bpf_program__fd(program)));
    if (!link.valid()) return fail_errno("watch processes");
    impl->links.push_back(std::move(link));
  }
  return SyscallMembers(std::move(impl));
}

Status SyscallMembers::add(const std::vector<pid_t>& processes) {
  return add_with_descendants(processes, [this](pid_t pid) { return impl_->add(pid); });
}

std::vector<std::uint32_t> SyscallMembers::link_ids() const {
  std::vector<std::uint32_t> ids;
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

std::vector<std::uint32_t> SyscallMembers::program_ids() const {
  std::vector<std::uint32_t> ids;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, impl_->skeleton->obj) ids.push_back(bpf_program_id(bpf_program__fd(program)));
  return ids;
}

}  // namespace chaos
