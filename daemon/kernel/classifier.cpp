#include "kernel/classifier.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

namespace chaos {
namespace {

std::uint64_t bit(unsigned fault) { return 1ULL << fault; }

void set_bit(__u64& word, unsigned fault) { std::atomic_ref(word).fetch_or(bit(fault)); }
void clear_bit(__u64& word, unsigned fault) { std::atomic_ref(word).fetch_and(~bit(fault)); }

void assign_bit(__u64& word, unsigned fault, bool value) { value ? set_bit(word, fault) : clear_bit(word, fault); }

/// Family and address, the part of a key that prefix_bits counts.
constexpr std::size_t kKeyBytes = 1 + sizeof(chaos_prefix_key::address);
const std::uint8_t* bytes_of(const chaos_prefix_key& key) { return &key.family; }
std::uint8_t* bytes_of(chaos_prefix_key& key) { return &key.family; }

/// `key` cut to its first `bits` bits.
chaos_prefix_key shortened(const chaos_prefix_key& key, unsigned bits) {
  chaos_prefix_key shorter{};
  shorter.prefix_bits = bits;
  std::memcpy(bytes_of(shorter), bytes_of(key), bits / 8);
  if (bits % 8 != 0) {
    bytes_of(shorter)[bits / 8] = static_cast<std::uint8_t>(bytes_of(key)[bits / 8] & (0xffU << (8 - bits % 8)));
  }
  return shorter;
}

bool covers(const chaos_prefix_key& shorter, const chaos_prefix_key& longer) {
  if (shorter.prefix_bits > longer.prefix_bits) return false;
  const chaos_prefix_key cut = shortened(longer, shorter.prefix_bits);
  return std::memcmp(bytes_of(cut), bytes_of(shorter), kKeyBytes) == 0;
}

}  // namespace

bool Classifier::Prefix::operator<(const Prefix& other) const {
  const int order = std::memcmp(bytes_of(key), bytes_of(other.key), kKeyBytes);
  return order != 0 ? order < 0 : key.prefix_bits < other.key.prefix_bits;
}

Status Classifier::install(unsigned fault, const ClassifierRule& rule) {
  rules_[fault] = rule;
  chaos_control& control = maps_.control();
  for (const std::uint16_t port : rule.remote_ports) set_bit(maps_.remote_port_mask(port), fault);
  for (const std::uint16_t port : rule.local_ports) set_bit(maps_.local_port_mask(port), fault);
  for (const std::uint8_t protocol : rule.protocols) set_bit(maps_.protocol_mask(protocol), fault);
  assign_bit(control.any_remote_port, fault, rule.remote_ports.empty());
  assign_bit(control.any_local_port, fault, rule.local_ports.empty());
  assign_bit(control.any_protocol, fault, rule.protocols.empty());
  assign_bit(control.any_peer, fault, rule.peers.empty());
  assign_bit(control.any_socket, fault, !rule.by_socket);
  assign_bit(control.any_process, fault, !rule.by_process);
  assign_bit(control.any_uid, fault, rule.users.empty());
  Status status = install_users(fault, rule.users);
  if (status) status = install_peers(fault, rule.peers);
  if (!status) remove(fault);
  return status;
}

void Classifier::remove(unsigned fault) {
  ClassifierRule rule = std::exchange(rules_[fault], {});
  chaos_control& control = maps_.control();
  // Fewer never fail.
  (void)set_cgroups(fault, {});
  for (__u64* any : {&control.any_peer, &control.any_remote_port, &control.any_local_port, &control.any_protocol,
                     &control.any_socket, &control.any_process, &control.any_uid, &control.handed_over}) {
    clear_bit(*any, fault);
  }
  for (const chaos_user& user : rule.users) {
    const std::uint64_t mask = user_masks_[{user.uid, user.netns}] &= ~bit(fault);
    if (mask != 0) {
      bpf_map_update_elem(maps_.fd_of("uids"), &user, &mask, BPF_ANY);
      continue;
    }
    bpf_map_delete_elem(maps_.fd_of("uids"), &user);
    user_masks_.erase({user.uid, user.netns});
  }
  for (const std::uint16_t port : rule.remote_ports) clear_bit(maps_.remote_port_mask(port), fault);
  for (const std::uint16_t port : rule.local_ports) clear_bit(maps_.local_port_mask(port), fault);
  for (const std::uint8_t protocol : rule.protocols) clear_bit(maps_.protocol_mask(protocol), fault);
  for (const chaos_prefix_key& peer : rule.peers) {
    auto it = own_.find(Prefix{peer});
    if (it == own_.end()) continue;
    it->second &= ~bit(fault);
    // A failed update leaves a stale bit of a fault that matches nothing else: install() rewrites it.
    (void)refresh(Prefix{peer});
    if (it->second == 0) own_.erase(it);
  }
}

Status Classifier::install_users(unsigned fault, const std::vector<chaos_user>& users) {
  for (const chaos_user& user : users) {
    const std::uint64_t mask = user_masks_[{user.uid, user.netns}] |= bit(fault);
    if (bpf_map_update_elem(maps_.fd_of("uids"), &user, &mask, BPF_ANY) == 0) continue;
    return fail(Errc::kRefused, "the table of users is full", "target.uid",
                "at most " + std::to_string(CHAOS_MAX_UIDS) + " users over all scenarios");
  }
  return {};
}

Status Classifier::write_cgroup(std::uint64_t id, std::uint64_t mask) {
  if (mask == 0) {
    bpf_map_delete_elem(maps_.cgroups_fd(), &id);
    return {};
  }
  if (bpf_map_update_elem(maps_.cgroups_fd(), &id, &mask, BPF_ANY) == 0) return {};
  if (errno != E2BIG && errno != ENOSPC) return fail_errno("write cgroup");
  return fail(Errc::kRefused, "the cgroup table is full", "target",
              "at most " + std::to_string(CHAOS_MAX_CGROUPS) + " cgroups over all scenarios", "stop a scenario first");
}

void Classifier::count_level(unsigned level, int change) {
  levels_[level] += static_cast<unsigned>(change);
  const __u32 bit_of_level = 1U << level;
  std::atomic_ref levels(maps_.control().cgroup_levels);
  levels_[level] > 0 ? levels.fetch_or(bit_of_level) : levels.fetch_and(~bit_of_level);
}

Status Classifier::set_cgroups(unsigned fault, const std::vector<Cgroup>& cgroups) {
  for (const Cgroup& cgroup : cgroups) {
    if (cgroup.level < CHAOS_MAX_CGROUP_LEVELS) continue;
    return fail(Errc::kUnsupported, "cgroup " + cgroup.path + " lies too deep", "target",
                "at most " + std::to_string(CHAOS_MAX_CGROUP_LEVELS - 1) + " levels below the root");
  }
  std::vector<Cgroup>& own = cgroups_[fault];
  const auto drop = [&](const std::vector<Cgroup>& which, const std::vector<Cgroup>& keep) {
    for (const Cgroup& cgroup : which) {
      if (std::ranges::find(keep, cgroup.id, &Cgroup::id) != keep.end()) continue;
      const std::uint64_t mask = cgroup_masks_[cgroup.id] &= ~bit(fault);
      (void)write_cgroup(cgroup.id, mask);
      if (mask == 0) cgroup_masks_.erase(cgroup.id);
      count_level(cgroup.level, -1);
    }
  };
  std::vector<Cgroup> added;
  for (const Cgroup& cgroup : cgroups) {
    if (std::ranges::find(own, cgroup.id, &Cgroup::id) != own.end()) continue;
    count_level(cgroup.level, 1);
    added.push_back(cgroup);
    const std::uint64_t mask = cgroup_masks_[cgroup.id] |= bit(fault);
    if (Status status = write_cgroup(cgroup.id, mask); !status) {
      drop(added, own);
      return status;
    }
  }
  drop(own, cgroups);
  own = cgroups;
  return {};
}

void Classifier::mean_handed_over(unsigned fault) { set_bit(maps_.control().handed_over, fault); }

Status Classifier::install_peers(unsigned fault, const std::vector<chaos_prefix_key>& peers) {
  for (const chaos_prefix_key& peer : peers) {
    own_[Prefix{peer}] |= bit(fault);
    if (Status status = refresh(Prefix{peer}); !status) return status;
  }
  return {};
}

std::uint64_t Classifier::covering_mask(const Prefix& prefix) const {
  std::uint64_t mask = 0;
  // Every prefix that covers this one has this one's address cut to its length: one look-up per length.
  for (unsigned bits = 0; bits <= prefix.key.prefix_bits; ++bits) {
    if (auto it = own_.find(Prefix{shortened(prefix.key, bits)}); it != own_.end()) mask |= it->second;
  }
  return mask;
}

Status Classifier::refresh(const Prefix& prefix) {
  // Covered prefixes are contiguous in the map: same leading bits, addresses from the prefix's own upwards.
  for (auto it = own_.find(prefix); it != own_.end() && covers(prefix.key, it->first.key); ++it) {
    const std::uint64_t mask = covering_mask(it->first);
    if (it->second == 0) {
      // Named by no fault any more: longer lookups then fall back to the next shorter prefix by themselves.
      bpf_map_delete_elem(maps_.peers_fd(), &it->first.key);
      continue;
    }
    if (bpf_map_update_elem(maps_.peers_fd(), &it->first.key, &mask, BPF_ANY) == 0) continue;
    if (errno == ENOSPC) {
      return fail(Errc::kRefused, "the prefix table is full", "target.peer",
                  "at most " + std::to_string(CHAOS_MAX_PREFIXES) + " prefixes over all scenarios",
                  "use fewer or shorter prefixes");
    }
    return fail_errno("write peer prefix");
  }
  return {};
}

void Classifier::add_to_slot(unsigned fault, unsigned slot, chaos_direction direction) {
  set_bit(maps_.slot(slot).faults[direction], fault);
}

void Classifier::remove_from_slot(unsigned fault, unsigned slot, chaos_direction direction) {
  clear_bit(maps_.slot(slot).faults[direction], fault);
}

void Classifier::activate(unsigned fault) { set_bit(maps_.control().active, fault); }
void Classifier::silence(unsigned fault) { clear_bit(maps_.control().active, fault); }

bool Classifier::active(unsigned fault) const {
  return (std::atomic_ref(maps_.control().active).load() & bit(fault)) != 0;
}

void wait_for_packets_in_flight() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  // nohz_full kernels refuse the command; no packet stays in a program for longer than this.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

}  // namespace chaos
