// PacketHook: one side of a device, or a cgroup, with our entry program on it: by tcx link, classic tc filter or cgroup
// link. Destroying it detaches (6..22 ms; 0.5 ms for a cgroup). Move-only. Worker thread, but alive() and the ids: any
// thread.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "fault/classic_hooks.h"
#include "kernel/packet_programs.h"
#include "kernel/refuse_programs.h"

namespace chaos {

class PacketHook {
 public:
  explicit PacketHook(TcxHook hook) : hook_(std::move(hook)) {}
  explicit PacketHook(ClassicHook hook) : hook_(std::move(hook)) {}
  explicit PacketHook(CgroupHook hook) : hook_(std::move(hook)) {}
  explicit PacketHook(RefuseHook hook) : hook_(std::move(hook)) {}

  /// False once the device or cgroup is gone.
  [[nodiscard]] bool alive() const {
    return std::visit([](const auto& hook) { return hook.alive(); }, hook_);
  }
  /// Kernel ids of what it is made of, for residue. A filter of classic tc has no link.
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const {
    return std::visit(
        [](const auto& hook) -> std::vector<std::uint32_t> {
          if constexpr (requires { hook.link_ids(); }) return hook.link_ids();
          if constexpr (requires { hook.link_id(); }) return {hook.link_id()};
          return {};
        },
        hook_);
  }
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const {
    return std::visit(
        [](const auto& hook) -> std::vector<std::uint32_t> {
          if constexpr (requires { hook.program_ids(); }) return hook.program_ids();
          if constexpr (requires { hook.program_id(); }) return {hook.program_id()};
          return {};
        },
        hook_);
  }
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const {
    return std::visit(
        [](const auto& hook) -> std::vector<std::uint32_t> {
          if constexpr (requires { hook.map_ids(); }) return hook.map_ids();
          return {};
        },
        hook_);
  }

 private:
  std::variant<TcxHook, ClassicHook, CgroupHook, RefuseHook> hook_;
};

}  // namespace chaos
