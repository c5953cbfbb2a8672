#include "kernel/process_sockets.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <makers.skel.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "kernel/bpf_compat.h"
#include "kernel/cgroup.h"
#include "kernel/classifier.h"
#include "kernel/proc_tree.h"
#include "kernel/processes.h"
#include "kernel/socket_makers.h"

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kFreePatience{1000};

struct SkeletonDeleter {
  void operator()(makers_bpf* skeleton) const { makers_bpf__destroy(skeleton); }
};

/// A zombie has ended as well: nothing tells any more when its number becomes another's.
bool has_ended(const UniqueFd& pidfd) {
  pollfd waited{pidfd.get(), POLLIN, 0};
  return ::poll(&waited, 1, 0) != 0;
}

/// Marks the internet sockets that the process has; those that are gone by now are none.
Status mark_sockets(int makers_fd, const UniqueFd& pidfd, pid_t pid) {
  const auto sockets = proc::open_sockets("/proc", pid);
  // It has ended.
  if (!sockets) return {};
  for (const proc::OpenSocket& open : *sockets) {
    const auto socket = borrow_socket(pidfd, pid, open);
    if (!socket) return std::unexpected(socket.error());
    if (!socket->valid()) continue;
    chaos_maker maker = read_maker(makers_fd, *socket);
    maker.process = static_cast<__u32>(pid);
    if (Status status = write_maker(makers_fd, *socket, maker); !status) return status;
  }
  return {};
}

}  // namespace

struct ProcessSockets::Impl {
  const SharedMaps& maps;
  std::string tag;
  mutable std::mutex mutex;  ///< of what is loaded: the ids are asked for from other threads
  std::unique_ptr<makers_bpf, SkeletonDeleter> skeleton;
  std::vector<UniqueFd> links;
  std::set<unsigned> faults;

  [[nodiscard]] int table() const { return maps.fd_of("processes"); }

  Status attach_programs() {
    const auto tree = CgroupTree::find();
    if (!tree) return std::unexpected(tree.error());
    const auto root = tree->open_root();
    if (!root) return std::unexpected(root.error());
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      const int fd = bpf_program__fd(program);
      if (bpf_program__type(program) == BPF_PROG_TYPE_CGROUP_SOCK) {
        auto link = cgroup_link_create(fd, root->get(), BPF_CGROUP_INET_SOCK_CREATE);
        if (!link) return std::unexpected(link.error());
        links.push_back(std::move(*link));
      } else {
        UniqueFd link(bpf_raw_tracepoint_open(nullptr, fd));
        if (!link.valid()) return fail_errno("watch processes");
        links.push_back(std::move(link));
      }
    }
    return {};
  }

  Status start() {
    if (!links.empty()) return {};
    const std::scoped_lock lock(mutex);
    skeleton.reset(makers_bpf__open());
    if (!skeleton) return fail_errno("open the programs that watch sockets");
    if (Status status = maps.share_with(*skeleton->obj); !status) return status;
    if (const int err = makers_bpf__load(skeleton.get()); err != 0) {
      return fail_errno("load the programs that watch sockets", -err);
    }
    return attach_programs();
  }

  void stop() {
    std::vector<std::uint32_t> programs;
    {
      const std::scoped_lock lock(mutex);
      if (!skeleton) return;
      programs = ids();
      links.clear();
      skeleton.reset();
    }
    for (const std::uint32_t id : programs) (void)wait_for_program_end(id, kFreePatience);
  }

  [[nodiscard]] std::vector<std::uint32_t> ids() const {
    std::vector<std::uint32_t> found;
    if (!skeleton) return found;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) found.push_back(bpf_program_id(bpf_program__fd(program)));
    return found;
  }

  /// True if the process lives and was not narrowed to already; its sockets are marked then.
  Result<bool> add(unsigned fault, pid_t pid) const {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) return false;
    auto added = enter(fault, pid);
    if (!added || !*added) return added;
    // From here on the kernel takes it out when it ends; it may have ended before.
    if (has_ended(pidfd)) {
      const auto key = static_cast<__u32>(pid);
      bpf_map_delete_elem(table(), &key);
      return false;
    }
    if (Status status = mark_sockets(maps.fd_of("makers"), pidfd, pid); !status) return std::unexpected(status.error());
    return true;
  }

  /// The process's entry in the table. Programs add entries, of what is forked, and take them out, of what has ended:
  /// neither is overwritten.
  Result<bool> enter(unsigned fault, pid_t pid) const {
    const auto key = static_cast<__u32>(pid);
    for (;;) {
      __u64 mask = 0;
      const bool there = bpf_map_lookup_elem(table(), &key, &mask) == 0;
      if ((mask >> fault & 1) != 0) return false;
      mask |= 1ULL << fault;
      if (bpf_map_update_elem(table(), &key, &mask, there ? BPF_EXIST : BPF_NOEXIST) == 0) return true;
      if (errno != EEXIST && errno != ENOENT) break;
    }
    if (errno != E2BIG && errno != ENOSPC) return fail_errno("track a process");
    return fail(Errc::kRefused, "too many processes are targets already", "target",
                "at most " + std::to_string(CHAOS_MAX_PROCESSES) + " over all scenarios");
  }
};

ProcessSockets::ProcessSockets(const SharedMaps& maps, std::string_view tag)
    : impl_(new Impl{maps, std::string(tag), {}, {}, {}, {}}) {}
ProcessSockets::~ProcessSockets() = default;
ProcessSockets::ProcessSockets(ProcessSockets&&) noexcept = default;

Status ProcessSockets::track(unsigned fault, const std::vector<pid_t>& processes) {
  if (Status status = impl_->start(); !status) return status;
  impl_->faults.insert(fault);
  return add_with_descendants(processes, [&](pid_t pid) { return impl_->add(fault, pid); });
}

void ProcessSockets::untrack(unsigned fault) {
  if (impl_->faults.erase(fault) == 0) return;
  clear_from_makers(impl_->table(), fault);
  if (impl_->faults.empty()) impl_->stop();
  // A fork that was under way may have copied the bit.
  wait_for_packets_in_flight();
  clear_from_makers(impl_->table(), fault);
}

std::vector<std::uint32_t> ProcessSockets::link_ids() const {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<std::uint32_t> ids;
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

std::vector<std::uint32_t> ProcessSockets::program_ids() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->ids();
}

}  // namespace chaos
