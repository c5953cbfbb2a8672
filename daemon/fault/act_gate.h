// ActGate: whether a fault that user space keeps up may act now. Asks what the programs in the kernel ask before they
// act: the armed word and the lease. Any thread; two loads.
#pragma once

#include <atomic>

#include "base/clock.h"
#include "bpf/chaos_abi.h"

namespace chaos {

class ActGate {
 public:
  /// `control` must outlive it.
  explicit ActGate(chaos_control& control) : control_(&control) {}
  [[nodiscard]] bool open() const {
    if (std::atomic_ref(control_->armed).load() == 0) return false;
    const auto now = static_cast<std::uint64_t>(system_clock().monotonic().count());
    return now < std::atomic_ref(control_->lease_until_ns).load();
  }

 private:
  chaos_control* control_;
};

}  // namespace chaos
