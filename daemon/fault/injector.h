// Injector: makes faults of admitted plans, and holds what they are made with: the mechanisms and the protected list.
// It takes nothing but an AdmittedPlan. prepare() and refresh(): worker thread; the brake: any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "config/config.h"
#include "fault/kind.h"
#include "fault/load_process.h"
#include "fault/packet_engine.h"
#include "fault/protection.h"
#include "fault/syscall_engine.h"
#include "safety/admission.h"

namespace chaos {

class Injector {
 public:
  /// Loads the programs of all mechanisms; attaches nothing. Nothing acts before rearm().
  /// `journal` and `heartbeat` must outlive it.
  static Result<std::unique_ptr<Injector>> create(std::string_view instance, UndoJournal& journal,
                                                  PacketHookChoice packet_hook, const Heartbeat& heartbeat);

  /// Puts the fault in place, with `caller`'s SSH connection protected; nothing acts until Fault::arm.
  Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& plan, const Caller& caller);
  /// For a fault that comes later: the connection that the caller has now.
  Status protect_caller(pid_t pid) { return protection_.protect_caller(pid); }
  Status configure(const Protect& protect) { return protection_.configure(protect); }
  /// Looks again for what must be protected, if the last look is older.
  Status refresh_protection(std::chrono::nanoseconds max_age) { return protection_.refresh(max_age); }

  /// Emergency stop: one store.
  void disarm_all() { packets_->disarm_all(); }
  void rearm() { packets_->rearm(); }
  [[nodiscard]] bool armed() const { return packets_->armed(); }
  [[nodiscard]] PacketEngine& packets() { return *packets_; }
  /// All that the mechanisms have in the kernel now, for residue. Any thread.
  [[nodiscard]] PacketEngine::Objects objects() const;

 private:
  Injector(std::unique_ptr<PacketEngine> packets, UndoJournal& journal, LoadGround loads, std::string_view instance);
  std::unique_ptr<PacketEngine> packets_;
  SyscallEngine syscalls_;
  UndoJournal& journal_;
  const LoadGround loads_;
  Protection protection_;
};

}  // namespace chaos
