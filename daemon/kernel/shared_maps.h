// SharedMaps: the BPF maps that all programs of one chaosd instance share, created with the instance's tag in their
// names (chaos_TAG_rul, ...) so that residue can be told apart by instance. Owns the fds; nothing is pinned, so the
// kernel frees everything when the process dies. Needs CAP_BPF. Element access is thread-safe where noted.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/chaos_abi.h"
#include "kernel/mapped_array.h"

struct bpf_object;

namespace chaos {

class SharedMaps {
 public:
  /// `tag`: instance_tag() of the instance. Errors: kInternal with the map's name (EPERM: needs CAP_BPF).
  static Result<SharedMaps> create(std::string_view tag);
  SharedMaps(SharedMaps&&) noexcept = default;
  SharedMaps& operator=(SharedMaps&&) noexcept = default;

  [[nodiscard]] chaos_control& control() const { return rules_[0].control; }
  [[nodiscard]] chaos_fault& fault(unsigned index) const { return rules_[0].faults_backwards[CHAOS_FAULT_AT(index)]; }
  [[nodiscard]] chaos_budget& budget(unsigned index) const { return budgets_[index]; }
  [[nodiscard]] chaos_slot& slot(unsigned index) const { return rules_[0].slots[index]; }
  [[nodiscard]] chaos_line& line(unsigned index) const { return lines_[index]; }
  [[nodiscard]] __u64& line_mark(unsigned index) const { return line_marks_[index]; }
  [[nodiscard]] __u64& remote_port_mask(std::uint16_t port) const { return remote_ports_[port]; }
  [[nodiscard]] __u64& local_port_mask(std::uint16_t port) const { return local_ports_[port]; }
  [[nodiscard]] __u64& protocol_mask(std::uint8_t protocol) const { return rules_[0].protocols[protocol]; }

  using PortSet = std::bitset<65536>;
  /// Exactly these ports are protected from now on. One caller at a time; packets meanwhile see each port as it was or
  /// as it will be.
  void write_protected_ports(const PortSet& tcp, const PortSet& udp) const;
  /// Frees the table entries of an activation that no packet belongs to any more. Some 20 µs.
  void forget_flows(std::uint64_t generation) const;

  /// Sum over all CPUs since the start: what one activation did is a difference. Any thread.
  [[nodiscard]] chaos_counters read_counters(unsigned fault) const;
  /// skbs seen by the classifier at this slot and direction since the start. Any thread.
  [[nodiscard]] std::uint64_t read_seen(unsigned slot, unsigned direction) const;

  [[nodiscard]] int peers_fd() const { return fd_of("peers"); }
  [[nodiscard]] int cgroups_fd() const { return fd_of("cgroups"); }
  [[nodiscard]] int protected_peers_fd() const { return fd_of("protected_peers"); }
  [[nodiscard]] int protected_flows_fd() const { return fd_of("protected_flows"); }
  /// Map of a skeleton by its name in BPF C; -1 if it is none of ours.
  [[nodiscard]] int fd_of(std::string_view bpf_name) const;
  /// Makes an opened object that is not loaded yet use these maps for its own of the same names, and `more` (by name).
  /// Error: kInternal with the map's name.
  Status share_with(bpf_object& object, const std::map<std::string_view, int>& more = {}) const;
  /// Kernel ids of all maps, for residue.
  [[nodiscard]] std::vector<std::uint32_t> ids() const;

 private:
  SharedMaps() = default;
  struct Entry {
    std::string_view bpf_name;
    UniqueFd fd;
  };
  std::vector<Entry> maps_;
  MappedArray<chaos_rules> rules_;
  MappedArray<chaos_tally> tallies_;
  MappedArray<chaos_budget> budgets_;
  MappedArray<__u64> remote_ports_;
  MappedArray<__u64> local_ports_;
  MappedArray<__u64> protected_ports_;
  MappedArray<chaos_flow_line> flow_lines_;
  MappedArray<chaos_line> lines_;
  MappedArray<__u64> line_marks_;
};

}  // namespace chaos
