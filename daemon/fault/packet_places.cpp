#include "fault/packet_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/contains.h"
#include "kernel/bpf_compat.h"
#include "kernel/refuse_programs.h"

namespace chaos {
namespace {

/// What is detached holds its program and maps for a grace period more: a look for residue would find them.
constexpr std::chrono::milliseconds kFreePatience{1000};

}  // namespace

PacketPlaces::PacketPlaces(SharedMaps& maps, std::string tag, PacketPrograms programs, UndoJournal* journal)
    : maps_(maps), tag_(std::move(tag)), programs_(std::move(programs)) {
  if (journal != nullptr) classic_.emplace(*journal);
}

PacketPlaces::Wanted PacketPlaces::on_device(std::uint64_t netns, const Interface& interface,
                                             chaos_direction direction) {
  const auto make = [this, netns, ifindex = interface.ifindex, direction](unsigned slot) {
    return hook_on_device(netns, ifindex, direction, slot);
  };
  return {{.netns = netns, .ifindex = interface.ifindex}, interface.name, interface.l2_len(), direction, make};
}

PacketPlaces::Wanted PacketPlaces::on_cgroup(const Cgroup& cgroup, chaos_direction direction, bool handed_over) {
  const auto make = [this, cgroup, direction](unsigned slot) { return hook_on_cgroup(cgroup, direction, slot); };
  return {{.cgroup = cgroup.id, .handed_over = handed_over}, "cgroup " + cgroup.path, 0, direction, make};
}

Result<PacketHook> PacketPlaces::hook_on_device(std::uint64_t netns, unsigned ifindex, chaos_direction direction,
                                                unsigned slot) {
  if (classic_) {
    auto hook = classic_->attach(programs_, netns, ifindex, slot, direction);
    if (!hook) return std::unexpected(hook.error());
    return PacketHook(std::move(*hook));
  }
  auto hook = programs_.attach(ifindex, slot, direction);
  if (!hook) return std::unexpected(hook.error());
  return PacketHook(std::move(*hook));
}

Result<PacketHook> PacketPlaces::hook_on_cgroup(const Cgroup& cgroup, chaos_direction direction, unsigned slot) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  const auto fd = tree->open(cgroup);
  if (!fd) return std::unexpected(fd.error());
  if (direction == CHAOS_EGRESS) {
    auto hook = RefuseHook::attach(maps_, tag_, fd->get(), slot);
    if (!hook) return std::unexpected(hook.error());
    return PacketHook(std::move(*hook));
  }
  auto hook = programs_.attach_arrivals(fd->get(), slot);
  if (!hook) return std::unexpected(hook.error());
  return PacketHook(std::move(*hook));
}

Result<unsigned> PacketPlaces::slot_for(const Wanted& wanted) {
  unsigned free = 0;
  for (const auto& [number, slot] : slots_) {
    if (slot.place == wanted.place) {
      // A number or an inode may have come back after its device went: dead hooks are not shared.
      const bool dead = std::ranges::any_of(slot.hooks, [](const auto& hook) { return hook && !hook->alive(); });
      if (!dead) return number;
    }
    if (number == free) ++free;
  }
  if (free >= CHAOS_MAX_SLOTS) {
    return fail(Errc::kRefused, fmt::format("{} interfaces and cgroups are in use already", CHAOS_MAX_SLOTS), "target",
                fmt::format("at most {} interfaces and cgroups over all scenarios", CHAOS_MAX_SLOTS));
  }
  Slot& slot = slots_[free];
  slot.place = wanted.place;
  slot.name = wanted.name;
  chaos_slot& kernel = maps_.slot(free);
  kernel = {};
  kernel.l2_len = wanted.l2_len;
  kernel.handed_over = wanted.place.handed_over ? 1 : 0;
  return free;
}

Result<PlaceSide> PacketPlaces::take(const Wanted& wanted) {
  const std::scoped_lock lock(mutex_);
  const auto number = slot_for(wanted);
  if (!number) return std::unexpected(number.error());
  ++slots_.at(*number).users[wanted.direction];
  return PlaceSide{.slot = *number, .direction = wanted.direction};
}

Status PacketPlaces::hang(PlaceSide side, const Wanted& wanted) {
  {
    const std::scoped_lock lock(mutex_);
    if (slots_.at(side.slot).hooks[side.direction]) return {};
  }
  auto hook = wanted.make_hook(side.slot);
  if (!hook) return with_context(wanted.name, hook.error());
  const std::scoped_lock lock(mutex_);
  slots_.at(side.slot).hooks[side.direction].emplace(std::move(*hook));
  return {};
}

PacketPlaces::Closing PacketPlaces::let_go(const std::vector<PlaceSide>& sides) {
  Closing closing;
  const std::scoped_lock lock(mutex_);
  for (const PlaceSide& side : sides) {
    Slot& slot = slots_.at(side.slot);
    if (--slot.users[side.direction] == 0) {
      if (auto hook = std::exchange(slot.hooks[side.direction], {})) closing.push_back(std::move(*hook));
    }
    if (slot.users[CHAOS_EGRESS] + slot.users[CHAOS_INGRESS] == 0) slots_.erase(side.slot);
  }
  return closing;
}

void PacketPlaces::close_and_wait(Closing closing) {
  std::vector<std::uint32_t> programs;
  std::vector<std::uint32_t> maps;
  for (const PacketHook& hook : closing) {
    std::ranges::copy(hook.program_ids(), std::back_inserter(programs));
    std::ranges::copy(hook.map_ids(), std::back_inserter(maps));
  }
  closing.clear();
  for (const std::uint32_t id : programs) (void)wait_for_program_end(id, kFreePatience);
  for (const std::uint32_t id : maps) (void)wait_for_map_end(id, kFreePatience);
}

PacketPlace PacketPlaces::place(PlaceSide side) const {
  const std::scoped_lock lock(mutex_);
  return slots_.at(side.slot).place;
}

std::string PacketPlaces::name(PlaceSide side) const {
  const std::scoped_lock lock(mutex_);
  return slots_.at(side.slot).name;
}

bool PacketPlaces::alive(PlaceSide side) const {
  const std::scoped_lock lock(mutex_);
  const auto& hook = slots_.at(side.slot).hooks[side.direction];
  return hook && hook->alive();
}

bool PacketPlaces::gone(PlaceSide side) const {
  const std::scoped_lock lock(mutex_);
  const auto& hook = slots_.at(side.slot).hooks[side.direction];
  return hook && !hook->alive();
}

void PacketPlaces::set_line(PlaceSide side, std::uint16_t number, unsigned ifindex) {
  chaos_slot& kernel = maps_.slot(side.slot);
  kernel.line = number;
  kernel.line_ifindex = ifindex;
}

void PacketPlaces::forget_lines(const std::vector<std::uint64_t>& namespaces) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [number, slot] : slots_) {
    if (contains(namespaces, slot.place.netns)) maps_.slot(number).line_ifindex = 0;
  }
}

PacketPlaces::Objects PacketPlaces::objects() const {
  Objects objects;
  for (const std::uint32_t id : programs_.map_ids()) objects.maps.insert(id);
  for (const std::uint32_t id : programs_.program_ids()) objects.programs.insert(id);
  const std::scoped_lock lock(mutex_);
  for (const auto& [number, slot] : slots_) {
    for (const auto& hook : slot.hooks) {
      if (!hook) continue;
      for (const std::uint32_t id : hook->link_ids()) objects.links.insert(id);
      for (const std::uint32_t id : hook->program_ids()) objects.programs.insert(id);
      for (const std::uint32_t id : hook->map_ids()) objects.maps.insert(id);
    }
  }
  return objects;
}

}  // namespace chaos
