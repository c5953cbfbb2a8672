// An io_uring of one entry, by the kernel's own interface.
#pragma once

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/unique_fd.h"

namespace chaos::test {

class Ring {
 public:
  Ring() {
    io_uring_params params{};
    fd_.reset(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
    if (!fd_.valid()) return;
    const std::size_t size = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    rings_ = static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), IORING_OFF_SQ_RING));
    entries_ = static_cast<io_uring_sqe*>(mmap(nullptr, sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
                                               MAP_SHARED | MAP_POPULATE, fd_.get(), IORING_OFF_SQES));
    params_ = params;
  }
  /// An errno, or 0.
  int transfer(unsigned char operation, int fd, void* buffer, unsigned size) {
    if (!fd_.valid()) return ENOSYS;
    std::memset(entries_, 0, sizeof(*entries_));
    entries_->opcode = operation;
    entries_->fd = fd;
    entries_->addr = reinterpret_cast<std::uint64_t>(buffer);
    entries_->len = size;
    auto* tail = reinterpret_cast<unsigned*>(rings_ + params_.sq_off.tail);
    reinterpret_cast<unsigned*>(rings_ + params_.sq_off.array)[0] = 0;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, fd_.get(), 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) < 0) return errno;
    auto* head = reinterpret_cast<unsigned*>(rings_ + params_.cq_off.head);
    const auto mask = *reinterpret_cast<unsigned*>(rings_ + params_.cq_off.ring_mask);
    const auto* done = reinterpret_cast<io_uring_cqe*>(rings_ + params_.cq_off.cqes) + (*head & mask);
    const int result = done->res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result < 0 ? -result : 0;
  }

 private:
  UniqueFd fd_;
  char* rings_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  io_uring_params params_{};
};

}  // namespace chaos::test
