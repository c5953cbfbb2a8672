// Classifier: the user-space half of the mask classifier. Writes a fault's filters into the shared maps bit by bit,
// and takes them out again. A fault's bit must not be active while its rule changes; `activate` and `silence` are one
// store each. Worker thread, except activate/silence/active (any thread).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "kernel/cgroup.h"
#include "kernel/shared_maps.h"

namespace chaos {

/// A fault's filters in kernel terms. Empty list: not narrowed by that.
struct ClassifierRule {
  bool by_socket = false;   ///< narrowed to the sockets of cgroups or processes: see Classifier::set_cgroups
  bool by_process = false;  ///< of these, to the sockets of processes: see ProcessSockets
  std::vector<chaos_user> users;
  std::vector<chaos_prefix_key> peers;
  std::vector<std::uint16_t> remote_ports;
  std::vector<std::uint16_t> local_ports;
  std::vector<std::uint8_t> protocols;
};

class Classifier {
 public:
  /// `maps` must outlive the classifier.
  explicit Classifier(const SharedMaps& maps) : maps_(maps) {}

  /// Error: kRefused when the prefix table is full; then nothing of the rule is left.
  Status install(unsigned fault, const ClassifierRule& rule);
  /// Of a fault whose rule is `by_socket`: exactly these from now on. A packet meanwhile sees each cgroup as it was or
  /// as it will be; the fault may be active. Error: kRefused when the table is full; then all are as before.
  Status set_cgroups(unsigned fault, const std::vector<Cgroup>& cgroups);
  /// Of the same: it means sockets as well that were handed over (HandedOver); the fault may be active.
  void mean_handed_over(unsigned fault);
  /// Call after a grace period since silence().
  void remove(unsigned fault);
  void add_to_slot(unsigned fault, unsigned slot, chaos_direction direction);
  void remove_from_slot(unsigned fault, unsigned slot, chaos_direction direction);

  /// One store: the fault acts from here on.
  void activate(unsigned fault);
  /// One store: no packet that arrives later is hit. Packets in flight finish within an RCU grace period.
  void silence(unsigned fault);
  [[nodiscard]] bool active(unsigned fault) const;

 private:
  struct Prefix {
    chaos_prefix_key key;
    /// By address, then length: what a prefix covers follows it.
    bool operator<(const Prefix& other) const;
  };
  Status install_peers(unsigned fault, const std::vector<chaos_prefix_key>& peers);
  /// Brings the trie's entry for `prefix` and all longer ones that it covers up to date.
  Status refresh(const Prefix& prefix);
  [[nodiscard]] std::uint64_t covering_mask(const Prefix& prefix) const;

  Status install_users(unsigned fault, const std::vector<chaos_user>& users);
  Status write_cgroup(std::uint64_t id, std::uint64_t mask);
  void count_level(unsigned level, int change);

  const SharedMaps& maps_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> user_masks_;  ///< by user and namespace
  std::map<std::uint64_t, std::uint64_t> cgroup_masks_;                          ///< by id: faults that name it
  std::array<unsigned, CHAOS_MAX_CGROUP_LEVELS> levels_{};  ///< how many named cgroups lie at each depth
  std::array<std::vector<Cgroup>, CHAOS_MAX_FAULTS> cgroups_{};
  std::map<Prefix, std::uint64_t> own_;  ///< faults that name exactly this prefix
  std::array<ClassifierRule, CHAOS_MAX_FAULTS> rules_{};
};

/// Waits until every packet that was being classified at the call has left its program (membarrier(2) with
/// MEMBARRIER_CMD_GLOBAL is synchronize_rcu; our programs run under RCU). About 10..30 ms. Worker thread.
void wait_for_packets_in_flight();

}  // namespace chaos
