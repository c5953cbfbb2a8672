// The holder of waits: a process that has a LateFile mapped and does nothing else. Programs read the file's pages
// through its memory while it lives, and the kernel read-locks that memory as long as somebody waits: so nothing in it
// may be mapped or unmapped, and nothing that serves waits may live in it.
//
// It looks after the wait server as well: one that does not come round for a second (stopped, or stuck) is killed,
// which ends all waits. It ends with the server.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

/// A page that the server and the holder share, and nobody else.
struct HolderPage {
  std::atomic<std::uint64_t> server_seen_ns;  ///< CLOCK_MONOTONIC; the server stamps it
  std::atomic<std::uint64_t> address;         ///< where the holder has the file; 0: not yet
  std::atomic<std::uint32_t> failed;          ///< errno for which it has given up
};

struct Holder {
  pid_t pid = 0;
  HolderPage* page = nullptr;  ///< for the life of the process
};

/// Forks it off this process, which must have no other threads, and must serve the file from then on: the holder opens
/// it. `mount_fd`: LateFile::mount_fd(). Error: kInternal.
[[nodiscard]] Result<Holder> start_holder(int mount_fd, std::size_t pages);

}  // namespace chaos
