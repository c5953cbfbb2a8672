#include "fault/packet_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"
#include "base/instance.h"
#include "fault/prefix_key.h"
#include "kernel/features.h"

namespace chaos {
namespace {

ClassifierRule to_rule(const NetFilter& filter) {
  ClassifierRule rule;
  for (const Prefix& prefix : filter.peers) rule.peers.push_back(prefix_key(prefix));
  rule.remote_ports = filter.remote_ports;
  rule.local_ports = filter.local_ports;
  rule.protocols = filter.protocols;
  return rule;
}

}  // namespace

PacketEngine::PacketEngine(SharedMaps maps, PacketPrograms programs)
    : maps_(std::move(maps)), programs_(std::move(programs)), classifier_(maps_) {}

Result<std::unique_ptr<PacketEngine>> PacketEngine::create(std::string_view instance, UndoJournal* journal,
                                                           PacketHookChoice choice) {
  const std::string tag = instance_tag(instance);
  auto maps = SharedMaps::create(tag);
  if (!maps) return std::unexpected(maps.error());
  auto programs = PacketPrograms::load(*maps, tag);
  if (!programs) return std::unexpected(programs.error());
  std::unique_ptr<PacketEngine> engine(new PacketEngine(std::move(*maps), std::move(*programs)));
  const bool wanted = choice == PacketHookChoice::kClsact || (choice == PacketHookChoice::kAuto && !has_tcx());
  if (wanted && journal != nullptr) engine->classic_.emplace(*journal);
  return engine;
}

Result<unsigned> PacketEngine::reserve() {
  const std::scoped_lock lock(mutex_);
  auto it = std::ranges::find(active_, false, &Active::used);
  if (it == active_.end()) {
    return fail(Errc::kRefused, fmt::format("{} packet faults are active already", CHAOS_MAX_FAULTS), {},
                fmt::format("at most {} packet faults", CHAOS_MAX_FAULTS), "stop one first");
  }
  it->used = true;
  it->watches.clear();
  return static_cast<unsigned>(it - active_.begin());
}

Result<unsigned> PacketEngine::prepare(const Plan& plan, const chaos_fault& parameters) {
  auto index = reserve();
  if (!index) return index;
  chaos_fault& fault = maps_.fault(*index);
  fault = parameters;
  fault.generation = ++generation_;
  fault.flags = plan.request.mode == Mode::kShadow ? std::uint32_t{CHAOS_FAULT_SHADOW} : 0U;
  if (plan.parameters.contains("max_events")) {
    auto budget = get_integer(plan.parameters, "max_events");
    fault.max_events = budget.value_or(0);
  }
  std::atomic_ref(maps_.budget(*index).spent).store(0);
  {
    const std::scoped_lock lock(mutex_);
    active_[*index].before = maps_.read_counters(*index);
  }
  Status status = classifier_.install(*index, to_rule(plan.filter));
  if (status) status = attach(plan, *index);
  if (!status) {
    (void)release(*index);
    return std::unexpected(status.error());
  }
  return index;
}

Status PacketEngine::attach(const Plan& plan, unsigned fault) {
  Status status;
  // Links belong to the namespace of the thread that makes them.
  Status entered = plan.netns->run([&] {
    for (const PlannedInterface& interface : plan.interfaces) {
      if (status && interface.egress) status = attach_one(plan, interface, fault, CHAOS_EGRESS);
      if (status && interface.ingress) status = attach_one(plan, interface, fault, CHAOS_INGRESS);
    }
  });
  return entered ? status : entered;
}

Result<unsigned> PacketEngine::slot_for(const Plan& plan, const PlannedInterface& interface) {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t netns = plan.netns->inode();
  const unsigned ifindex = interface.interface.ifindex;
  unsigned free = 0;
  for (const auto& [number, slot] : slots_) {
    if (slot->netns == netns && slot->ifindex == ifindex) {
      // A number or an inode may have come back after its device went: dead hooks are not shared.
      const bool dead = std::ranges::any_of(slot->hooks, [](const auto& hook) { return hook && !hook->alive(); });
      if (!dead) return number;
    }
    if (number == free) ++free;
  }
  if (free >= CHAOS_MAX_SLOTS) {
    return fail(Errc::kRefused, fmt::format("{} interfaces are in use already", CHAOS_MAX_SLOTS), "target.interface",
                fmt::format("at most {} interfaces over all scenarios", CHAOS_MAX_SLOTS));
  }
  auto slot = std::make_shared<Slot>();
  slot->netns = netns;
  slot->ifindex = ifindex;
  slot->name = interface.interface.name;
  slots_[free] = slot;
  chaos_slot& kernel = maps_.slot(free);
  kernel = {};
  kernel.l2_len = interface.interface.l2_len();
  return free;
}

Result<PacketHook> PacketEngine::make_hook(const Plan& plan, const Slot& slot, unsigned number,
                                           chaos_direction direction) {
  if (classic_) {
    auto hook = classic_->attach(programs_, plan.netns->inode(), slot.ifindex, number, direction);
    if (!hook) return std::unexpected(hook.error());
    return PacketHook(std::move(*hook));
  }
  auto hook = programs_.attach(slot.ifindex, number, direction);
  if (!hook) return std::unexpected(hook.error());
  return PacketHook(std::move(*hook));
}

Status PacketEngine::attach_one(const Plan& plan, const PlannedInterface& interface, unsigned fault,
                                chaos_direction direction) {
  auto number = slot_for(plan, interface);
  if (!number) return std::unexpected(number.error());
  std::shared_ptr<Slot> slot;
  {
    const std::scoped_lock lock(mutex_);
    slot = slots_.at(*number);
    // Counted as a user from here on, so that an error below is undone by detach() like anything else.
    ++slot->users[direction];
    active_[fault].watches.push_back({*number, direction, 0});
  }
  if (!slot->hooks[direction]) {
    auto hook = make_hook(plan, *slot, *number, direction);
    if (!hook) return with_context(interface.interface.name, hook.error());
    const std::scoped_lock lock(mutex_);
    slot->hooks[direction].emplace(std::move(*hook));
  }
  classifier_.add_to_slot(fault, *number, direction);
  return {};
}

Status PacketEngine::arm(unsigned fault, std::chrono::nanoseconds duration) {
  const Fault::TargetState state = target_state(fault);
  if (state.gone) return fail(Errc::kUnavailable, "the target's interfaces went away while the fault was set up");
  {
    const std::scoped_lock lock(mutex_);
    for (Watch& watch : active_[fault].watches) watch.seen_before = maps_.read_seen(watch.slot, watch.direction);
  }
  const auto deadline = system_clock().boottime() + duration;
  maps_.fault(fault).deadline_boot_ns = static_cast<std::uint64_t>(deadline.count());
  std::atomic_thread_fence(std::memory_order_seq_cst);
  classifier_.activate(fault);
  return {};
}

void PacketEngine::silence(unsigned fault) { classifier_.silence(fault); }

Counters PacketEngine::counters(unsigned fault) const {
  chaos_counters before{};
  std::vector<Watch> watches;
  {
    const std::scoped_lock lock(mutex_);
    before = active_[fault].before;
    watches = active_[fault].watches;
  }
  const chaos_counters now = maps_.read_counters(fault);
  Counters result;
  result.injected = now.injected - before.injected;
  result.shadowed = now.shadowed - before.shadowed;
  result.not_sampled = now.not_sampled - before.not_sampled;
  result.spared_protected = now.spared_protected - before.spared_protected;
  result.spared_budget = now.spared_budget - before.spared_budget;
  result.spared_expired = now.spared_expired - before.spared_expired;
  result.over_limit = now.over_limit - before.over_limit;
  result.matched_segments = now.matched_segments - before.matched_segments;
  result.injected_segments = now.injected_segments - before.injected_segments;
  result.injected_jointly = now.injected_jointly - before.injected_jointly;
  result.matched = result.injected + result.shadowed + result.not_sampled + result.spared_protected +
                   result.spared_budget + result.spared_expired + result.over_limit;
  // Read after the outcomes: what matched has been seen by then.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (const Watch& watch : watches) {
    result.evaluated += maps_.read_seen(watch.slot, watch.direction) - watch.seen_before;
  }
  result.unmatched = result.evaluated - result.matched;
  return result;
}

Counters PacketEngine::release(unsigned fault) {
  classifier_.silence(fault);
  wait_for_packets_in_flight();
  const Counters result = counters(fault);
  detach(fault);
  classifier_.remove(fault);
  maps_.forget_flows(maps_.fault(fault).generation);
  const std::scoped_lock lock(mutex_);
  active_[fault] = {};
  return result;
}

void PacketEngine::detach(unsigned fault) {
  // Closing links takes milliseconds each: collect them under the lock, close them outside.
  std::vector<std::optional<PacketHook>> closing;
  {
    const std::scoped_lock lock(mutex_);
    for (const Watch& watch : active_[fault].watches) {
      classifier_.remove_from_slot(fault, watch.slot, watch.direction);
      const auto slot = slots_.at(watch.slot);
      if (--slot->users[watch.direction] == 0) closing.push_back(std::exchange(slot->hooks[watch.direction], {}));
      if (slot->users[CHAOS_EGRESS] + slot->users[CHAOS_INGRESS] == 0) slots_.erase(watch.slot);
    }
  }
  closing.clear();
}

Fault::TargetState PacketEngine::target_state(unsigned fault) const {
  Fault::TargetState state;
  const std::scoped_lock lock(mutex_);
  const auto& watches = active_[fault].watches;
  std::set<unsigned> missing;
  std::set<unsigned> all;
  for (const Watch& watch : watches) {
    all.insert(watch.slot);
    const auto& hook = slots_.at(watch.slot)->hooks[watch.direction];
    if (hook && !hook->alive() && missing.insert(watch.slot).second) {
      state.missing.push_back(slots_.at(watch.slot)->name);
    }
  }
  state.gone = !all.empty() && missing.size() == all.size();
  return state;
}

void PacketEngine::disarm_all() { std::atomic_ref(control().armed).store(0); }
void PacketEngine::rearm() { std::atomic_ref(control().armed).store(1); }
bool PacketEngine::armed() const { return std::atomic_ref(control().armed).load() != 0; }

PacketEngine::Objects PacketEngine::objects() const {
  Objects objects;
  for (const std::uint32_t id : maps_.ids()) objects.maps.insert(id);
  for (const std::uint32_t id : programs_.map_ids()) objects.maps.insert(id);
  for (const std::uint32_t id : programs_.program_ids()) objects.programs.insert(id);
  const std::scoped_lock lock(mutex_);
  for (const auto& [number, slot] : slots_) {
    for (const auto& hook : slot->hooks) {
      if (!hook) continue;
      if (hook->link_id() != 0) objects.links.insert(hook->link_id());
      objects.programs.insert(hook->program_id());
    }
  }
  return objects;
}

}  // namespace chaos
