// PacketEngine: the eBPF packet mechanism that packet kinds share: maps, classifier program, slots of attached devices
// and the faults on them. Nothing is attached while no fault needs it. prepare/arm/release: worker thread;
// silence/silence_all/counters/target_state: any thread, never blocking on link work.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "config/config.h"
#include "fault/classic_hooks.h"
#include "fault/kind.h"
#include "fault/packet_hook.h"
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
  [[nodiscard]] bool classic() const { return classic_.has_value(); }

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
  [[nodiscard]] const PacketPrograms& programs() const { return programs_; }

  /// What this engine accounts for, for residue.
  struct Objects {
    std::set<std::uint32_t> links, programs, maps;
    std::set<std::string> devices;
  };
  [[nodiscard]] Objects objects() const;

 private:
  /// What an entry program hangs on: a device, or a cgroup.
  struct Place {
    std::uint64_t netns = 0;
    unsigned ifindex = 0;
    std::uint64_t cgroup = 0;
    bool handed_over = false;  ///< the root cgroup, for sockets that were handed over
    bool operator==(const Place&) const = default;
  };
  /// A place, in both directions as far as needed.
  struct Slot {
    Place place;
    std::string name;
    std::array<std::optional<PacketHook>, 2> hooks;
    std::array<unsigned, 2> users{};
  };
  struct Watch {
    unsigned slot;
    chaos_direction direction;
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
  /// One place that a fault is to be at.
  struct Attachment {
    Place place;
    std::string name;
    std::uint8_t l2_len = 0;
    chaos_direction direction = CHAOS_EGRESS;
    Lines::Place line;                                           ///< of its namespace, for faults that hold packets
    std::function<Result<PacketHook>(unsigned slot)> make_hook;  ///< in the place's namespace
  };

  PacketEngine(std::string tag, SharedMaps maps, PacketPrograms programs, bool classic);
  Attachment to_device(std::uint64_t netns, const Interface& interface, chaos_direction direction,
                       const Lines::Place& line);
  Status attach_devices(const PlannedNetwork& network, unsigned fault,
                        const std::function<void(const Attachment&)>& attach_new);
  void forget_lines(const std::vector<std::uint64_t>& namespaces);
  /// Egress: its calls. Ingress: what arrives.
  /// `handed_over`: at the root, for those of sockets that were handed over.
  Attachment to_cgroup(const Cgroup& cgroup, chaos_direction direction, bool handed_over = false);
  /// Sockets that other cgroups made are meant from now on, as far as the programs see them; the root, where they do.
  Result<Cgroup> cover_handed_over(const SocketOwners& owners, unsigned fault);
  /// Looks for such sockets again if other processes are the target now.
  void renew_handed_over(unsigned fault, Reach& reach);
  Result<PacketHook> hook_on_cgroup(const Cgroup& cgroup, chaos_direction direction, unsigned slot);
  [[nodiscard]] bool refuses_calls(unsigned fault) const;
  Result<unsigned> reserve();
  Result<unsigned> slot_for(const Attachment& attachment);
  Status attach(const Reach& reach, unsigned fault);
  Status attach_one(const Attachment& attachment, unsigned fault);
  [[nodiscard]] bool is_at(unsigned fault, const Attachment& attachment) const;
  void detach(unsigned fault, const std::function<bool(const Slot&, chaos_direction)>& which);
  [[nodiscard]] std::uint64_t evaluated_at(const Watch& watch) const;

  std::string tag_;
  SharedMaps maps_;
  PacketPrograms programs_;
  Classifier classifier_;
  ProcessSockets process_sockets_;
  HandedOver handed_over_;
  Lines lines_;
  std::optional<ClassicHooks> classic_;
  std::uint64_t generation_ = 0;
  mutable std::mutex mutex_;  ///< bookkeeping below; never held across link work
  std::array<Active, CHAOS_MAX_FAULTS> active_{};
  std::map<unsigned, std::shared_ptr<Slot>> slots_;
};

}  // namespace chaos
