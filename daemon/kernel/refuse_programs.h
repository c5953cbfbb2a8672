// RefuseHook: the programs that refuse a cgroup's calls (bpf/refuse.bpf.c), loaded for one slot and attached to one
// cgroup. Needs CAP_BPF and CAP_NET_ADMIN. Worker thread, but alive() and the ids: any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"

namespace chaos {

/// Destroying it detaches.
class RefuseHook {
 public:
  /// `tag`: instance_tag(). Nothing acts until the slot's egress mask and the fault are active. A few ms. Errors:
  /// kNotFound (the cgroup is gone), kInternal.
  static Result<RefuseHook> attach(const SharedMaps& maps, std::string_view tag, int cgroup_fd, unsigned slot);
  RefuseHook(RefuseHook&&) noexcept;
  RefuseHook& operator=(RefuseHook&&) noexcept;
  ~RefuseHook();

  /// False once the cgroup is gone.
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const;

 private:
  struct Impl;
  explicit RefuseHook(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
