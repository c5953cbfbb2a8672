// Heartbeat: one page of memory that chaosd writes and the guardian reads, without a BPF object between them. A memfd:
// it goes with its last user. The lease thread stamps it; the guardian only looks.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

class Heartbeat {
 public:
  /// A new page, all zero. The fd is close-on-exec.
  static Result<Heartbeat> create();
  /// The page behind `fd`, read only.
  static Result<Heartbeat> open(UniqueFd fd);
  Heartbeat(Heartbeat&& other) noexcept;
  Heartbeat& operator=(Heartbeat&&) = delete;
  ~Heartbeat();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// CLOCK_MONOTONIC ns until which the lease runs; 0: it has not begun. Not writable in one that was opened.
  [[nodiscard]] std::atomic<std::uint64_t>& lease_until_ns() const { return *lease_until_ns_; }

 private:
  Heartbeat(UniqueFd fd, void* page);
  static Result<Heartbeat> map(UniqueFd fd, int protection);
  UniqueFd fd_;
  std::atomic<std::uint64_t>* lease_until_ns_;
};

}  // namespace chaos
