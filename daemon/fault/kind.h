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
class SyscallEngine;
class UndoJournal;
struct LoadGround;

/// A perturbation made of an admitted plan. Made by FaultKind::prepare with everything in place and nothing acting;
/// arm() makes it act. Destroying it removes it (worker thread).
class Fault {
 public:
  virtual ~Fault() = default;
  /// From here on it acts, until `duration` has passed on CLOCK_BOOTTIME: the kernel ends it by itself, or a thread of
  /// the fault's own that nothing else holds up. Worker thread.
  virtual Status arm(std::chrono::nanoseconds duration) = 0;
  /// Does nothing new when this returns. What the kernel does is at its end with that; what a thread of the fault's
  /// holds, it lets go at once. Never blocks; any thread.
  virtual void silence() = 0;
  /// What it holds back is dropped by remove(), and not let go. Any thread.
  virtual void discard_held() {}
  /// Takes everything out of the kernel and waits until no packet or call is under its hand. Blocks; worker thread.
  virtual Status remove() = 0;
  /// Any thread; after remove() the final figures.
  [[nodiscard]] virtual Counters counters() const = 0;
  /// Measured beside requested, by parameter ("probability" → "9.98%"). Any thread.
  [[nodiscard]] virtual std::map<std::string, std::string> achieved(const Counters& counters) const = 0;
  /// `gone` is true when nothing of the target is left; what else there is to say of it is a sentence each: what has
  /// gone, what somebody else has changed. Any thread.
  struct TargetState {
    bool gone = false;
    std::string failure{};  ///< why it does not act any more, which nobody asked for; empty while it does
    std::vector<std::string> remarks;
  };
  [[nodiscard]] virtual TargetState target_state() const = 0;
  /// Brings it to where its target is now, if that is not a network. Worker thread.
  virtual Status follow(const Reach& /*reach*/) { return {}; }
  /// False if the target's end is what it is about: it goes on then.
  [[nodiscard]] virtual bool ends_with_target() const { return true; }
};

/// The mechanisms that kinds build on; owned by the injector.
struct Mechanisms {
  PacketEngine& packets;
  SyscallEngine& syscalls;
  UndoJournal& journal;
  const LoadGround& loads;
};

struct FaultKind {
  KindSpec spec;
  /// Puts everything in place; nothing acts yet. On error nothing is left. Blocks; worker thread.
  Result<std::unique_ptr<Fault>> (*prepare)(const AdmittedPlan& plan, const Mechanisms& mechanisms);
};

}  // namespace chaos
