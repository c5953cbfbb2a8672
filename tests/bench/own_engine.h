// OwnEngine: the packet mechanism driven by the benchmark itself, without a daemon: armed, with a lease that does not
// run out. Everything goes with the object. Needs root; throws std::runtime_error. One thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "fault/packet_engine.h"
#include "plan/target.h"

namespace chaos::bench {

class OwnEngine {
 public:
  OwnEngine();

  /// packet_loss, model random, with `probability` ("1%") and a fixed seed, planned and attached as the daemon would.
  /// Returns the fault.
  unsigned lose(const TargetKeys& target, const std::string& probability);
  /// Ends it; the final counters.
  Counters end(unsigned fault);
  [[nodiscard]] PacketEngine& engine() const { return *engine_; }

 private:
  std::unique_ptr<PacketEngine> engine_;
};

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
