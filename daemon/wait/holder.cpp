#include "wait/holder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {  // the header of glibc 2.36 has no __BEGIN_DECLS
#include <sys/pidfd.h>
}

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <limits>
#include <new>

namespace chaos {
namespace {

constexpr int kLookMs = 250;
constexpr std::uint64_t kPatienceNs = 1'000'000'000;
constexpr std::size_t kPageBytes = 4096;

std::uint64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// 0 or an errno.
int map_file(int mount_fd, std::size_t pages, HolderPage& page) {
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", mount_fd);
  const int file = ::open(path.data(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  // Its size is known once it has been asked for.
  if (file < 0 || ::fstat(file, &status) != 0) return errno;
  void* memory = ::mmap(nullptr, pages * kPageBytes, PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return errno;
  // Each page by itself, and not the next ones with it.
  if (::madvise(memory, pages * kPageBytes, MADV_RANDOM) != 0) return errno;
  page.address.store(reinterpret_cast<std::uint64_t>(memory));
  return 0;
}

/// Two late looks in a row: both may have been stopped.
[[noreturn]] void look_after(int server, const HolderPage& page) {
  bool late = false;
  for (;;) {
    pollfd end{server, POLLIN, 0};
    if (::poll(&end, 1, kLookMs) > 0) ::_exit(0);
    const bool now_late = monotonic_ns() > page.server_seen_ns.load() + kPatienceNs;
    if (now_late && late) (void)::pidfd_send_signal(server, SIGKILL, nullptr, 0);
    late = now_late;
  }
}

[[noreturn]] void be_holder(int mount_fd, std::size_t pages, HolderPage& page, int server) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // What makes huge pages of memory would want its lock for itself.
  ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  const int error = map_file(mount_fd, pages, page);
  if (error != 0) {
    page.failed.store(static_cast<std::uint32_t>(error));
    ::_exit(1);
  }
  // The mapping keeps the file; of the descriptors it needs one.
  constexpr int kServer = 3;
  if (server != kServer) ::dup2(server, kServer);
  (void)::close_range(0, kServer - 1, 0);
  (void)::close_range(kServer + 1, std::numeric_limits<unsigned>::max(), 0);
  look_after(kServer, page);
}

}  // namespace

Result<Holder> start_holder(int mount_fd, std::size_t pages) {
  void* memory = ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("share a page with the holder of waits");
  auto* page = new (memory) HolderPage{};
  page->server_seen_ns.store(monotonic_ns());
  const UniqueFd self(::pidfd_open(::getpid(), 0));
  if (!self.valid()) return fail_errno("open a pidfd of the wait server");
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("start the holder of waits");
  if (pid == 0) be_holder(mount_fd, pages, *page, self.get());
  return Holder{pid, page};
}

}  // namespace chaos
