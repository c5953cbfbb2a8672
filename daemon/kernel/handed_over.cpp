#include "kernel/handed_over.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "kernel/socket_makers.h"

namespace chaos {

Status HandedOver::add(unsigned fault, const std::vector<HandedOverSocket>& sockets) {
  for (const HandedOverSocket& socket : sockets) {
    if (Status status = add_one(fault, socket); !status) return status;
  }
  return {};
}

Status HandedOver::add_one(unsigned fault, const HandedOverSocket& handed) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, handed.pid, 0)));
  if (!pidfd.valid()) return {};
  const auto socket = borrow_socket(pidfd, handed.pid, handed.open);
  if (!socket) return std::unexpected(socket.error());
  if (!socket->valid()) return {};
  const int makers = maps_.fd_of("makers");
  chaos_maker maker = read_maker(makers, *socket);
  if (maker.handed_over == 0) {
    // Never used twice: sockets keep it beyond the fault's end, and so does what they accept.
    if (next_ == UINT32_MAX) return fail(Errc::kRefused, "no number is left for a socket", "target", {}, "restart it");
    maker.handed_over = next_++;
    if (Status status = write_maker(makers, *socket, maker); !status) return status;
  }
  const int table = maps_.fd_of("processes");
  __u64 mask = 0;
  (void)bpf_map_lookup_elem(table, &maker.handed_over, &mask);
  mask |= 1ULL << fault;
  if (bpf_map_update_elem(table, &maker.handed_over, &mask, BPF_ANY) == 0) return {};
  if (errno != E2BIG && errno != ENOSPC) return fail_errno("mark a socket");
  return fail(Errc::kRefused, "too many sockets and processes are targets already", "target",
              "at most " + std::to_string(CHAOS_MAX_PROCESSES) + " over all scenarios");
}

void HandedOver::remove(unsigned fault) const { clear_from_makers(maps_.fd_of("processes"), fault); }

}  // namespace chaos
