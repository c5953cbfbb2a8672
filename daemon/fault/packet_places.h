// PacketPlaces: where the packet programs hang: sides of devices, and cgroups. Each place has a number, its slot, by
// which the programs know it; faults share them, and a program hangs there as long as one of them needs it. What makes
// and closes hooks: worker thread; all else: any thread, never blocking on link work.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "fault/classic_hooks.h"
#include "fault/packet_hook.h"
#include "kernel/cgroup.h"
#include "kernel/packet_programs.h"
#include "kernel/shared_maps.h"
#include "plan/plan.h"

namespace chaos {

/// A device, or a cgroup.
struct PacketPlace {
  std::uint64_t netns = 0;
  unsigned ifindex = 0;
  std::uint64_t cgroup = 0;
  bool handed_over = false;  ///< the root cgroup, for sockets that were handed over
  bool operator==(const PacketPlace&) const = default;
};

/// One direction at a place.
struct PlaceSide {
  unsigned slot = 0;
  chaos_direction direction = CHAOS_EGRESS;
  bool operator==(const PlaceSide&) const = default;
};

class PacketPlaces {
 public:
  /// One side of a place that a fault is to be at.
  struct Wanted {
    PacketPlace place;
    std::string name;
    std::uint8_t l2_len = 0;
    chaos_direction direction = CHAOS_EGRESS;
    std::function<Result<PacketHook>(unsigned slot)> make_hook;  ///< in the place's namespace
  };
  /// Hooks that nobody needs any more. They stay until close_and_wait().
  using Closing = std::vector<PacketHook>;

  /// `maps` must outlive it. `journal`: for hooks by classic tc, which outlive the process; must outlive it as well.
  /// Null: tcx only.
  PacketPlaces(SharedMaps& maps, std::string tag, PacketPrograms programs, UndoJournal* journal);
  [[nodiscard]] bool classic() const { return classic_.has_value(); }

  Wanted on_device(std::uint64_t netns, const Interface& interface, chaos_direction direction);
  /// Egress: its calls. Ingress: what arrives. `handed_over`: at the root, for those of sockets that were handed over.
  Wanted on_cgroup(const Cgroup& cgroup, chaos_direction direction, bool handed_over = false);

  /// Takes a side of a place for one fault more, whose end is let_go(). Nothing hangs there yet. Error: kRefused (256
  /// places).
  Result<PlaceSide> take(const Wanted& wanted);
  /// Hangs the program there, if it does not yet. Errors: kNotFound (the device is gone), kUnsupported, kUnavailable,
  /// kInternal.
  Status hang(PlaceSide side, const Wanted& wanted);
  /// One fault less for each. What is left of them is to be closed.
  Closing let_go(const std::vector<PlaceSide>& sides);
  /// 6 to 22 ms for each, and until the kernel has freed what hung there: 1 s at most.
  static void close_and_wait(Closing closing);

  /// Of a side that was taken.
  [[nodiscard]] PacketPlace place(PlaceSide side) const;
  [[nodiscard]] std::string name(PlaceSide side) const;
  /// True while a program hangs there, and the device or cgroup exists.
  [[nodiscard]] bool alive(PlaceSide side) const;
  /// One hung there, and went with its device or cgroup.
  [[nodiscard]] bool gone(PlaceSide side) const;

  /// The line that held packets go to. Of the slot, for all its faults.
  void set_line(PlaceSide side, std::uint16_t number, unsigned ifindex);
  void forget_lines(const std::vector<std::uint64_t>& namespaces);

  [[nodiscard]] const PacketPrograms& programs() const { return programs_; }
  /// Kernel ids of all that hangs, and of what is loaded ahead for it.
  struct Objects {
    std::set<std::uint32_t> links, programs, maps;
  };
  [[nodiscard]] Objects objects() const;

 private:
  struct Slot {
    PacketPlace place;
    std::string name;
    std::array<std::optional<PacketHook>, 2> hooks;
    std::array<unsigned, 2> users{};
  };
  Result<PacketHook> hook_on_device(std::uint64_t netns, unsigned ifindex, chaos_direction direction, unsigned slot);
  Result<PacketHook> hook_on_cgroup(const Cgroup& cgroup, chaos_direction direction, unsigned slot);
  /// The lock is held.
  Result<unsigned> slot_for(const Wanted& wanted);

  SharedMaps& maps_;
  std::string tag_;
  PacketPrograms programs_;
  std::optional<ClassicHooks> classic_;
  mutable std::mutex mutex_;  ///< the slots; never held across link work
  std::map<unsigned, Slot> slots_;
};

}  // namespace chaos
