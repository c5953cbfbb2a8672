// What benchmarks use of the kernel without a daemon. OwnEngine: the packet mechanism, armed, with a lease that does
// not run out. Everything goes with the objects. Needs root; throws std::runtime_error. One thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "base/unique_fd.h"
#include "fault/packet_engine.h"
#include "plan/target.h"

namespace chaos::bench {

class OwnEngine {
 public:
  OwnEngine();

  /// packet_loss, model random, with `probability` ("1%"), planned and attached as the daemon would. Seeds are 1, 2, 3,
  /// ... by call. Returns the fault.
  unsigned lose(const TargetKeys& target, const std::string& probability);
  /// Ends it; the final counters.
  Counters end(unsigned fault);
  [[nodiscard]] PacketEngine& engine() const { return *engine_; }

 private:
  std::unique_ptr<PacketEngine> engine_;
  std::uint64_t seed_ = 0;
};

/// A tc program that passes every packet on: what others are measured against.
[[nodiscard]] UniqueFd load_empty_program();

/// Value of a Result, or its error thrown.
template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
inline void check(const Status& status) {
  if (!status) throw std::runtime_error(status.error().message);
}

}  // namespace chaos::bench
