#include "safety/heartbeat.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

namespace chaos {
namespace {

constexpr std::size_t kBytes = 4096;

}  // namespace

Heartbeat::Heartbeat(UniqueFd fd, void* page) : fd_(std::move(fd)), page_(static_cast<Page*>(page)) {}

Heartbeat::Heartbeat(Heartbeat&& other) noexcept
    : fd_(std::move(other.fd_)), page_(std::exchange(other.page_, nullptr)) {}

Heartbeat::~Heartbeat() {
  if (page_ != nullptr) ::munmap(page_, kBytes);
}

Result<Heartbeat> Heartbeat::map(UniqueFd fd) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "two processes share it");
  void* page = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED) return fail_errno("map the heartbeat page");
  return Heartbeat(std::move(fd), page);
}

Result<Heartbeat> Heartbeat::create() {
  UniqueFd fd(::memfd_create("chaosd-heartbeat", MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), kBytes) != 0) return fail_errno("make the heartbeat page");
  return map(std::move(fd));
}

Result<Heartbeat> Heartbeat::open(UniqueFd fd) { return map(std::move(fd)); }

}  // namespace chaos
