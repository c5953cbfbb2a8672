#include "kernel/socket_makers.h"

#include <bpf/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

namespace chaos {

Result<UniqueFd> borrow_socket(const UniqueFd& pidfd, pid_t pid, const proc::OpenSocket& open) {
  UniqueFd socket(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), open.fd, 0)));
  if (!socket.valid() && errno == EPERM) {
    return fail(Errc::kDenied, "the sockets of process " + std::to_string(pid) + " may not be looked at", "target",
                "CAP_SYS_PTRACE, and pidfd_getfd in the unit's SystemCallFilter");
  }
  struct stat found {};
  if (!socket.valid() || ::fstat(socket.get(), &found) != 0 || found.st_ino != open.inode) return UniqueFd();
  int domain = 0;
  socklen_t size = sizeof(domain);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return UniqueFd();
  return domain == AF_INET || domain == AF_INET6 ? std::move(socket) : UniqueFd();
}

chaos_maker read_maker(int makers_fd, const UniqueFd& socket) {
  chaos_maker maker{};
  const int key = socket.get();
  return bpf_map_lookup_elem(makers_fd, &key, &maker) == 0 ? maker : chaos_maker{};
}

Status write_maker(int makers_fd, const UniqueFd& socket, const chaos_maker& maker) {
  const int key = socket.get();
  if (bpf_map_update_elem(makers_fd, &key, &maker, BPF_ANY) != 0) return fail_errno("mark a socket");
  return {};
}

void clear_from_makers(int table_fd, unsigned fault) {
  std::vector<__u32> keys;
  __u32 key = 0;
  for (const __u32* last = nullptr; bpf_map_get_next_key(table_fd, last, &key) == 0; last = &keys.back()) {
    keys.push_back(key);
  }
  for (const __u32 maker : keys) {
    __u64 mask = 0;
    if (bpf_map_lookup_elem(table_fd, &maker, &mask) != 0) continue;
    mask &= ~(1ULL << fault);
    mask == 0 ? bpf_map_delete_elem(table_fd, &maker) : bpf_map_update_elem(table_fd, &maker, &mask, BPF_EXIST);
  }
}

}  // namespace chaos
