// PacketEngine: the eBPF packet mechanism that packet kinds share: maps, classifier program, the places where it hangs,
// and the faults there. Nothing is attached while no fault needs it. prepare/arm/release: worker thread;
// silence/silence_all/counters/target_state: any thread, never blocking on link work.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "config/config.h"
#include "fault/kind.h"
#include "fault/packet_places.h"
#include "kernel/classifier.h"
#include "kernel/handed_over.h"
#include "kernel/packet_programs.h"
#include "kernel/process_sockets.h"
#include "kernel/shared_maps.h"
#include "line/lines.h"
#include "plan/plan.h"

namespace chaos {

class PacketEngine {
 public:
  /// Loads everything and attaches nothing. Errors name what failed and which privilege is missing.
  /// `journal`: for hooks that outlive the process; must outlive the engine. Null: tcx only. kAuto is tcx where the
  /// kernel has it.
  static Result<std::unique_ptr<PacketEngine>> create(std::string_view instance, UndoJournal* journal = nullptr,
                                                      PacketHookChoice choice = PacketHookChoice::kAuto);
  /// It attaches by classic tc.
  [[nodiscard]] bool classic() const { return places_.classic(); }

  /// Reserves a fault, writes its rule, attaches what is not attached yet. Nothing acts. On error nothing is left.
  /// Errors: kRefused (64 faults, 256 devices, prefixes), kNotFound (interface gone), kUnsupported, kInternal.
  /// `hold`: it does not lose what it takes, but holds it in delay lines; null: it loses it.
  Result<unsigned> prepare(const Plan& plan, const chaos_fault& parameters, std::shared_ptr<LineFault> hold = {});
  /// Brings a fault that is narrowed to sockets to where its target is now: cgroups, namespaces and interfaces that
  /// came are covered, those that went are let go. What stays is not disturbed. On error some of it may be missing.
  Status follow(unsigned fault, Reach reach);
  /// One store makes both directions on all devices act together. Error: kUnavailable if a device is gone already.
  Status arm(unsigned fault, std::chrono::nanoseconds duration);
  void silence(unsigned fault);
  /// Waits for packets in flight, takes out rule and links that nobody else needs; the final counters.
  /// `discard`: what is held in delay lines is dropped and not let go.
  Counters release(unsigned fault, bool discard = false);
  /// What delay lines do for it; null if they do not.
  [[nodiscard]] std::shared_ptr<const LineFault> line_figures(unsigned fault) const { return lines_.figures(fault); }
  [[nodiscard]] Counters counters(unsigned fault) const;
  [[nodiscard]] Fault::TargetState target_state(unsigned fault) const;

  /// The emergency stop: one store, read by every program before anything else. Any thread, any time.
  void disarm_all();
  void rearm();
  [[nodiscard]] bool armed() const;

  [[nodiscard]] chaos_control& control() const { return maps_.control(); }
  [[nodiscard]] const SharedMaps& maps() const { return maps_; }
  [[nodiscard]] const PacketPrograms& programs() const { return places_.programs(); }

  /// What this engine accounts for, for residue.
  struct Objects {
    std::set<std::uint32_t> links, programs, maps;
    std::set<std::string> devices;
  };
  [[nodiscard]] Objects objects() const;

 private:
  /// One side of a place where a fault is.
  struct Watch {
    PlaceSide side;
    std::uint64_t seen_before = 0;
  };
  struct Active {
    bool used = false;
    bool armed = false;
    bool by_socket = false;
    OwnedBy owned_by = OwnedBy::kCgroup;
    std::vector<pid_t> members;  ///< of its owners when it was brought there last, ascending
    bool refuses_calls = false;
    bool ended = false;  ///< no packet comes to its lines any more
    chaos_counters before{};
    std::vector<Watch> watches;
    std::uint64_t evaluated = 0;  ///< at places that have been let go
  };
  /// `line`: of its namespace, for faults that hold packets.
  using AttachNew = std::function<void(const PacketPlaces::Wanted& wanted, const Lines::Place& line)>;

  /// `journal`: may be null; only for classic tc.
  PacketEngine(const std::string& tag, SharedMaps maps, PacketPrograms programs, bool classic, UndoJournal* journal);
  Status attach_devices(const PlannedNetwork& network, unsigned fault, const AttachNew& attach_new);
  /// Sockets that other cgroups made are meant from now on, as far as the programs see them; the root, where they do.
  Result<Cgroup> cover_handed_over(const SocketOwners& owners, unsigned fault);
  /// Looks for such sockets again if other processes are the target now. False if this could not be found out.
  bool renew_handed_over(unsigned fault, Reach& reach);
  [[nodiscard]] bool refuses_calls(unsigned fault) const;
  Result<unsigned> reserve();
  Status attach(const Reach& reach, unsigned fault);
  Status attach_one(const PacketPlaces::Wanted& wanted, const Lines::Place& line, unsigned fault);
  [[nodiscard]] bool is_at(unsigned fault, const PacketPlaces::Wanted& wanted) const;
  void detach(unsigned fault, const std::function<bool(PlaceSide)>& which);
  [[nodiscard]] std::uint64_t evaluated_at(const Watch& watch) const;

  SharedMaps maps_;
  Classifier classifier_;
  ProcessSockets process_sockets_;
  HandedOver handed_over_;
  Lines lines_;
  PacketPlaces places_;
  std::uint64_t generation_ = 0;
  mutable std::mutex mutex_;  ///< bookkeeping below; never held across link work
  std::array<Active, CHAOS_MAX_FAULTS> active_{};
};

}  // namespace chaos
