// HostChange: something of this host that is changed and changed back, once or in pulses. What it is made of is on
// record in the undo journal, or ends with a process or a descriptor; HostFault gives it its life as a fault.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/process_reach.h"

namespace chaos {

/// One call at a time; never on the loop thread.
class HostChange {
 public:
  virtual ~HostChange() = default;
  /// It is over at this time of CLOCK_BOOTTIME in any case: for what can end by itself. Before the first apply().
  virtual void ends_at(std::chrono::nanoseconds /*boottime*/) {}
  /// Brings it about, at once. On error nothing of it stays. Errors: kUnavailable (no guardian, target away), kRefused
  /// (somebody else has taken over all of it), kInternal.
  virtual Status apply() = 0;
  /// Takes it back at once, for now.
  virtual void withdraw() = 0;
  /// Takes it back for good, off the record. Error: something of it may be left.
  virtual Status finish() = 0;
  /// The target is there now. What is applied reaches what has come, and leaves what has gone.
  virtual Status follow(const ProcessReach& reach) = 0;
  /// Looks at what was changed; from time to time while it is applied.
  virtual void check() = 0;
  /// What somebody else has changed, a sentence each.
  [[nodiscard]] virtual std::vector<std::string> remarks() const = 0;
  /// Why it is not there any more, though nobody has taken it back; empty while it is.
  [[nodiscard]] virtual std::string failure() const { return {}; }
  /// What is measured of it, by name.
  [[nodiscard]] virtual std::map<std::string, std::string> figures() const { return {}; }
};

}  // namespace chaos
