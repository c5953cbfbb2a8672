// FaultKind and Fault: what one kind of fault is, and one that runs. A kind is one entry of the registry and one file.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "plan/kind_spec.h"
#include "plan/reach.h"
#include "plan/scenario.h"
#include "safety/admission.h"

namespace chaos {

class PacketEngine;

/// A perturbation made of an admitted plan. Made by FaultKind::prepare with everything in place and nothing acting;
/// arm() makes it act. Destroying it removes it (worker thread).
class Fault {
 public:
  virtual ~Fault() = default;
  /// From here on it acts, until `duration` has passed on CLOCK_BOOTTIME: the kernel ends it by itself. Worker thread.
  virtual Status arm(std::chrono::nanoseconds duration) = 0;
  /// It acts no more when this returns. Never blocks; any thread.
  virtual void silence() = 0;
  /// What it holds back is dropped by remove(), and not let go. Any thread.
  virtual void discard_held() {}
  /// Takes everything out of the kernel and waits until no packet or call is under its hand. Blocks; worker thread.
  virtual Status remove() = 0;
  /// Any thread; after remove() the final figures.
  [[nodiscard]] virtual Counters counters() const = 0;
  /// Measured beside requested, by parameter ("probability" → "9.98%"). Any thread.
  [[nodiscard]] virtual std::map<std::string, std::string> achieved(const Counters& counters) const = 0;
  /// Parts of the target that have gone; `gone` is true when nothing of it is left. Any thread.
  struct TargetState {
    bool gone = false;
    std::vector<std::string> missing;
  };
  [[nodiscard]] virtual TargetState target_state() const = 0;
  /// Brings it to where its target is now, if it is narrowed to sockets. Worker thread.
  virtual Status follow(const Reach& /*reach*/) { return {}; }
};

/// The mechanisms that kinds build on; owned by the injector.
struct Mechanisms {
  PacketEngine& packets;
};

struct FaultKind {
  KindSpec spec;
  /// Puts everything in place; nothing acts yet. On error nothing is left. Blocks; worker thread.
  Result<std::unique_ptr<Fault>> (*prepare)(const AdmittedPlan& plan, const Mechanisms& mechanisms);
};

}  // namespace chaos
