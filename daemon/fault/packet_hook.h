// PacketHook: one side of a device with our entry program on it, by tcx link or classic tc filter. Destroying it
// detaches (6..22 ms). Move-only. Worker thread, but alive() and the ids: any thread.
#pragma once

#include <cstdint>
#include <variant>

#include "fault/classic_hooks.h"
#include "kernel/packet_programs.h"

namespace chaos {

class PacketHook {
 public:
  explicit PacketHook(TcxHook hook) : hook_(std::move(hook)) {}
  explicit PacketHook(ClassicHook hook) : hook_(std::move(hook)) {}

  /// False once the device is gone.
  [[nodiscard]] bool alive() const {
    return std::visit([](const auto& hook) { return hook.alive(); }, hook_);
  }
  /// 0 for a filter: it has no link.
  [[nodiscard]] std::uint32_t link_id() const {
    const auto* tcx = std::get_if<TcxHook>(&hook_);
    return tcx != nullptr ? tcx->link_id() : 0;
  }
  [[nodiscard]] std::uint32_t program_id() const {
    return std::visit([](const auto& hook) { return hook.program_id(); }, hook_);
  }

 private:
  std::variant<TcxHook, ClassicHook> hook_;
};

}  // namespace chaos
