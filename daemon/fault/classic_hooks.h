// ClassicHooks: attaching where the kernel has no tcx (before 6.6), by clsact qdisc and BPF filter. Both outlive the
// process, so each change is journaled (DESIGN, class 3); what they do ends with chaosd all the same, at the switch.
// Worker thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "kernel/packet_programs.h"
#include "safety/undo_journal.h"

namespace chaos {

/// A filter of ours on one side of a device. Destroying it removes the filter, and the qdisc with the last of ours if
/// we brought it and nobody else uses it.
class ClassicHook {
 public:
  ClassicHook(ClassicHook&& other) noexcept = default;
  ClassicHook& operator=(ClassicHook&& other) noexcept = default;
  /// Device and namespace still exist. Some 100 µs.
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::uint32_t program_id() const { return program_id_; }

 private:
  friend class ClassicHooks;
  ClassicHook(std::shared_ptr<JournaledChange> clsact, std::unique_ptr<JournaledChange> filter)
      : clsact_(std::move(clsact)), filter_(std::move(filter)) {}
  std::uint64_t netns_ = 0;
  std::string netns_path_;  ///< where it was last found
  unsigned ifindex_ = 0;
  std::uint32_t program_id_ = 0;
  std::shared_ptr<JournaledChange> clsact_;  ///< shared by both sides; null if the qdisc is not ours
  std::unique_ptr<JournaledChange> filter_;  ///< declared last: it goes before the qdisc
};

class ClassicHooks {
 public:
  explicit ClassicHooks(UndoJournal& journal) : journal_(&journal) {}

  /// In the calling thread's network namespace, `netns` by inode: its own priority, before all others where there is
  /// room. Errors: kNotFound (no such device), kUnavailable (no guardian), kInternal.
  Result<ClassicHook> attach(const PacketPrograms& programs, std::uint64_t netns, unsigned ifindex, unsigned slot,
                             chaos_direction direction);

 private:
  Result<std::shared_ptr<JournaledChange>> clsact_of(std::uint64_t netns, unsigned ifindex);
  UndoJournal* journal_;
  std::map<std::pair<std::uint64_t, unsigned>, std::weak_ptr<JournaledChange>> clsact_;
};

}  // namespace chaos
