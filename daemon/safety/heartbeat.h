// Heartbeat: one page of memory between chaosd and the guardian, without a BPF object between them. A memfd: it goes
// with its last user. Each side stamps a word of its own and looks at the other's: chaosd's lease thread says until
// when it may be believed, the guardian when it was last awake.
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
  /// The page behind `fd`: the guardian's side.
  static Result<Heartbeat> open(UniqueFd fd);
  Heartbeat(Heartbeat&& other) noexcept;
  Heartbeat& operator=(Heartbeat&&) = delete;
  ~Heartbeat();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// CLOCK_MONOTONIC ns until which the lease runs; 0: it has not begun. chaosd writes it.
  [[nodiscard]] std::atomic<std::uint64_t>& lease_until_ns() const { return page_->lease_until_ns; }
  /// CLOCK_MONOTONIC ns at which the guardian last came round; 0: none has yet. The guardian writes it.
  [[nodiscard]] std::atomic<std::uint64_t>& guardian_seen_ns() const { return page_->guardian_seen_ns; }

 private:
  struct Page {
    std::atomic<std::uint64_t> lease_until_ns;
    std::atomic<std::uint64_t> guardian_seen_ns;
  };
  Heartbeat(UniqueFd fd, void* page);
  static Result<Heartbeat> map(UniqueFd fd);
  UniqueFd fd_;
  Page* page_;
};

}  // namespace chaos
