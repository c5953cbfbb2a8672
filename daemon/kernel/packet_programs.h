// PacketPrograms: the classifiers, loaded once at start, and the switch in front of each: a PROG_ARRAY whose only fd is
// one of the process's highest, so that the kernel empties it first when chaosd dies (KERNEL, "What happens at death").
// Each attachment is a seven-instruction entry program that names its slot and tail-calls through the switch.
// Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. Worker thread, except where noted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bpf/chaos_abi.h"
#include "kernel/shared_maps.h"

namespace chaos {

/// One entry program attached by a tcx link. Destroying it detaches (6..22 ms: waits for RCU under RTNL).
class TcxHook {
 public:
  TcxHook(UniqueFd program, UniqueFd link) : program_(std::move(program)), link_(std::move(link)) {}

  /// False once the device is gone (the link then reports ifindex 0).
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::uint32_t link_id() const;
  [[nodiscard]] std::uint32_t program_id() const;

 private:
  UniqueFd program_;
  UniqueFd link_;
};

/// One entry program attached to a cgroup, for what arrives at its sockets. Destroying it detaches.
class CgroupHook {
 public:
  CgroupHook(UniqueFd program, UniqueFd link) : program_(std::move(program)), link_(std::move(link)) {}

  /// False once the cgroup is gone.
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::uint32_t link_id() const;
  [[nodiscard]] std::uint32_t program_id() const;

 private:
  UniqueFd program_;
  UniqueFd link_;
};

class PacketPrograms {
 public:
  /// `tag`: instance_tag(). Error: kInternal with the verifier's last lines, kUnsupported where tcx is missing.
  static Result<PacketPrograms> load(const SharedMaps& maps, std::string_view tag);
  PacketPrograms(PacketPrograms&&) noexcept;
  PacketPrograms& operator=(PacketPrograms&&) noexcept;
  ~PacketPrograms();

  /// Attaches slot `slot` in `direction` at the head of the chain of `ifindex`, in the calling thread's network
  /// namespace. Nothing acts until the slot's mask and the fault are active. Errors: kNotFound (no such device),
  /// kUnsupported (kernel without tcx), kInternal.
  [[nodiscard]] Result<TcxHook> attach(unsigned ifindex, unsigned slot, chaos_direction direction) const;

  /// Attaches slot `slot` to the cgroup, for what arrives at the sockets that were made in it or below it. Errors: as
  /// attach().
  [[nodiscard]] Result<CgroupHook> attach_arrivals(int cgroup_fd, unsigned slot) const;

  /// Fds for BPF_PROG_TEST_RUN in benchmarks and tests: the classifier itself.
  [[nodiscard]] int classifier_fd() const;
  /// An entry program, not attached.
  [[nodiscard]] Result<UniqueFd> make_entry(unsigned slot, chaos_direction direction) const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const;

 private:
  struct Impl;
  [[nodiscard]] Result<UniqueFd> make_arrivals_entry(unsigned slot) const;
  explicit PacketPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
