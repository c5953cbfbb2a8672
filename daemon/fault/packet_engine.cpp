#include "fault/packet_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"
#include "base/contains.h"
#include "base/instance.h"
#include "fault/prefix_key.h"
#include "kernel/bpf_compat.h"
#include "kernel/features.h"
#include "plan/handed_over.h"

namespace chaos {
namespace {

/// kCgroup also where there are no owners.
OwnedBy owned_by(const Reach& reach) { return reach.owners ? reach.owners->by : OwnedBy::kCgroup; }

ClassifierRule to_rule(const Plan& plan) {
  ClassifierRule rule;
  const OwnedBy by = owned_by(plan.reach);
  rule.by_socket = plan.reach.owners.has_value() && by != OwnedBy::kUser;
  rule.by_process = by == OwnedBy::kProcess;
  // A user alone is one of a namespace; beside another owner, whose sockets are meant wherever they are, of any.
  const std::uint32_t netns = by == OwnedBy::kUser ? plan.reach.owners->netns : 0;
  for (const uid_t uid : plan.filter.uids) rule.users.push_back({.uid = uid, .netns = netns});
  for (const Prefix& prefix : plan.filter.peers) rule.peers.push_back(prefix_key(prefix));
  rule.remote_ports = plan.filter.remote_ports;
  rule.local_ports = plan.filter.local_ports;
  rule.protocols = plan.filter.protocols;
  return rule;
}

/// What is detached holds its program and maps for a grace period more: a look for residue would find them.
constexpr std::chrono::milliseconds kFreePatience{1000};

void close_and_wait(std::vector<std::optional<PacketHook>> hooks) {
  std::vector<std::uint32_t> programs;
  std::vector<std::uint32_t> maps;
  for (const auto& hook : hooks) {
    if (!hook) continue;
    std::ranges::copy(hook->program_ids(), std::back_inserter(programs));
    std::ranges::copy(hook->map_ids(), std::back_inserter(maps));
  }
  hooks.clear();
  for (const std::uint32_t id : programs) (void)wait_for_program_end(id, kFreePatience);
  for (const std::uint32_t id : maps) (void)wait_for_map_end(id, kFreePatience);
}

}  // namespace

PacketEngine::PacketEngine(std::string tag, SharedMaps maps, PacketPrograms programs, bool classic)
    : tag_(std::move(tag)),
      maps_(std::move(maps)),
      programs_(std::move(programs)),
      classifier_(maps_),
      process_sockets_(maps_, tag_),
      handed_over_(maps_),
      lines_(maps_, tag_, classic) {}

Result<std::unique_ptr<PacketEngine>> PacketEngine::create(std::string_view instance, UndoJournal* journal,
                                                           PacketHookChoice choice) {
  const std::string tag = instance_tag(instance);
  auto maps = SharedMaps::create(tag);
  if (!maps) return std::unexpected(maps.error());
  auto programs = PacketPrograms::load(*maps, tag);
  if (!programs) return std::unexpected(programs.error());
  const bool wanted = choice == PacketHookChoice::kClsact || (choice == PacketHookChoice::kAuto && !has_tcx());
  std::unique_ptr<PacketEngine> engine(new PacketEngine(tag, std::move(*maps), std::move(*programs), wanted));
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
  *it = {};
  it->used = true;
  return static_cast<unsigned>(it - active_.begin());
}

Result<unsigned> PacketEngine::prepare(const Plan& plan, const chaos_fault& parameters,
                                       std::shared_ptr<LineFault> hold) {
  auto index = reserve();
  if (!index) return index;
  chaos_fault& fault = maps_.fault(*index);
  fault = parameters;
  fault.generation = ++generation_;
  fault.flags = plan.request.mode == Mode::kShadow ? std::uint16_t{CHAOS_FAULT_SHADOW} : std::uint16_t{0};
  if (hold) {
    fault.flags |= CHAOS_FAULT_HOLD;
    lines_.prepare(*index, std::move(hold));
  }
  if (plan.parameters.contains("max_events")) {
    auto budget = get_integer(plan.parameters, "max_events");
    fault.max_events = budget.value_or(0);
  }
  std::atomic_ref(maps_.budget(*index).spent).store(0);
  {
    const std::scoped_lock lock(mutex_);
    active_[*index].before = maps_.read_counters(*index);
    active_[*index].by_socket = plan.reach.owners.has_value();
    active_[*index].owned_by = owned_by(plan.reach);
    if (plan.reach.owners) active_[*index].members = plan.reach.owners->members;
    active_[*index].refuses_calls = fault.refuse_errno != 0;
  }
  Status status = classifier_.install(*index, to_rule(plan));
  if (status) status = attach(plan.reach, *index);
  if (!status) {
    (void)release(*index);
    return std::unexpected(status.error());
  }
  return index;
}

PacketEngine::Attachment PacketEngine::to_device(std::uint64_t netns, const Interface& interface,
                                                 chaos_direction direction, const Lines::Place& line) {
  const auto make = [this, netns, ifindex = interface.ifindex, direction](unsigned slot) -> Result<PacketHook> {
    if (classic_) {
      auto hook = classic_->attach(programs_, netns, ifindex, slot, direction);
      if (!hook) return std::unexpected(hook.error());
      return PacketHook(std::move(*hook));
    }
    auto hook = programs_.attach(ifindex, slot, direction);
    if (!hook) return std::unexpected(hook.error());
    return PacketHook(std::move(*hook));
  };
  return {{.netns = netns, .ifindex = interface.ifindex}, interface.name, interface.l2_len(), direction, line, make};
}

Result<PacketHook> PacketEngine::hook_on_cgroup(const Cgroup& cgroup, chaos_direction direction, unsigned slot) {
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

PacketEngine::Attachment PacketEngine::to_cgroup(const Cgroup& cgroup, chaos_direction direction, bool handed_over) {
  const auto make = [this, cgroup, direction](unsigned slot) { return hook_on_cgroup(cgroup, direction, slot); };
  return {{.cgroup = cgroup.id, .handed_over = handed_over}, "cgroup " + cgroup.path, 0, direction, {}, make};
}

bool PacketEngine::refuses_calls(unsigned fault) const {
  const std::scoped_lock lock(mutex_);
  return active_[fault].refuses_calls;
}

bool PacketEngine::is_at(unsigned fault, const Attachment& attachment) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(active_[fault].watches, [&](const Watch& watch) {
    const auto& slot = *slots_.at(watch.slot);
    const auto& hook = slot.hooks[watch.direction];
    return watch.direction == attachment.direction && slot.place == attachment.place && hook && hook->alive();
  });
}

Status PacketEngine::attach(const Reach& reach, unsigned fault) {
  Status status;
  const auto attach_new = [&](const Attachment& attachment) {
    if (status && !is_at(fault, attachment)) status = attach_one(attachment, fault);
  };
  if (reach.owners) {
    if (reach.owners->by == OwnedBy::kProcess) status = process_sockets_.track(fault, reach.owners->processes);
    if (reach.owners->by == OwnedBy::kCgroup) status = classifier_.set_cgroups(fault, reach.owners->cgroups);
    for (const Cgroup& cgroup : reach.owners->cgroups) {
      if (reach.owners->ingress) attach_new(to_cgroup(cgroup, CHAOS_INGRESS));
      if (refuses_calls(fault)) attach_new(to_cgroup(cgroup, CHAOS_EGRESS));
    }
    if (status && !reach.owners->handed_over.empty()) {
      const auto root = cover_handed_over(*reach.owners, fault);
      if (!root) return std::unexpected(root.error());
      if (reach.owners->ingress) attach_new(to_cgroup(*root, CHAOS_INGRESS, true));
      if (refuses_calls(fault)) attach_new(to_cgroup(*root, CHAOS_EGRESS, true));
    }
  }
  for (const PlannedNetwork& network : reach.networks) {
    // Links belong to the namespace of the thread that makes them.
    Status joined;
    Status entered = network.netns->run([&] { joined = attach_devices(network, fault, attach_new); });
    if (!entered) return entered;
    if (!joined) return joined;
  }
  return status;
}

Result<Cgroup> PacketEngine::cover_handed_over(const SocketOwners& owners, unsigned fault) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  if (Status status = handed_over_.add(fault, owners.handed_over); !status) return std::unexpected(status.error());
  classifier_.mean_handed_over(fault);
  return tree->root();
}

void PacketEngine::renew_handed_over(unsigned fault, Reach& reach) {
  if (!reach.owners) return;
  {
    const std::scoped_lock lock(mutex_);
    if (active_[fault].members == reach.owners->members) return;
  }
  auto found = find_handed_over(*reach.owners);
  // That this host does not tell was said when the scenario was planned.
  if (!found) return;
  reach.owners->handed_over = std::move(found->sockets);
}

Status PacketEngine::attach_devices(const PlannedNetwork& network, unsigned fault,
                                    const std::function<void(const Attachment&)>& attach_new) {
  const std::uint64_t netns = network.netns->inode();
  Lines::Place line;
  if (lines_.holds(fault) && !network.interfaces.empty()) {
    const auto joined = lines_.join(fault, *network.netns);
    if (!joined) return std::unexpected(joined.error());
    line = *joined;
  }
  for (const PlannedInterface& planned : network.interfaces) {
    if (planned.egress) attach_new(to_device(netns, planned.interface, CHAOS_EGRESS, line));
    if (planned.ingress) attach_new(to_device(netns, planned.interface, CHAOS_INGRESS, line));
  }
  return {};
}

Status PacketEngine::follow(unsigned fault, Reach reach) {
  OwnedBy by = OwnedBy::kCgroup;
  {
    const std::scoped_lock lock(mutex_);
    by = active_[fault].owned_by;
  }
  // The rule is for the one way of telling sockets apart: at the other one's places it would let everybody's through.
  if (reach.owners && !reach.owners->cgroups.empty() && reach.owners->by != by) {
    return fail(Errc::kUnsupported,
                "the target's sockets were told by its cgroup and now by its processes, or the reverse");
  }
  renew_handed_over(fault, reach);
  Status status = attach(reach, fault);
  if (status && reach.owners) {
    const std::scoped_lock lock(mutex_);
    active_[fault].members = reach.owners->members;
  }
  detach(fault, [&](const Slot& slot, chaos_direction direction) {
    const auto& hook = slot.hooks[direction];
    if (!hook || !hook->alive()) return true;
    if (slot.place.handed_over) return false;
    if (slot.place.cgroup != 0) {
      return !reach.owners || !contains(reach.owners->cgroups, slot.place.cgroup, &Cgroup::id);
    }
    return std::ranges::none_of(reach.networks, [&](const PlannedNetwork& network) {
      return network.netns->inode() == slot.place.netns &&
             std::ranges::any_of(network.interfaces, [&](const PlannedInterface& planned) {
               return planned.interface.ifindex == slot.place.ifindex &&
                      (direction == CHAOS_EGRESS ? planned.egress : planned.ingress);
             });
    });
  });
  return status;
}

Result<unsigned> PacketEngine::slot_for(const Attachment& attachment) {
  const std::scoped_lock lock(mutex_);
  unsigned free = 0;
  for (const auto& [number, slot] : slots_) {
    if (slot->place == attachment.place) {
      // A number or an inode may have come back after its device went: dead hooks are not shared.
      const bool dead = std::ranges::any_of(slot->hooks, [](const auto& hook) { return hook && !hook->alive(); });
      if (!dead) return number;
    }
    if (number == free) ++free;
  }
  if (free >= CHAOS_MAX_SLOTS) {
    return fail(Errc::kRefused, fmt::format("{} interfaces and cgroups are in use already", CHAOS_MAX_SLOTS), "target",
                fmt::format("at most {} interfaces and cgroups over all scenarios", CHAOS_MAX_SLOTS));
  }
  auto slot = std::make_shared<Slot>();
  slot->place = attachment.place;
  slot->name = attachment.name;
  slots_[free] = slot;
  chaos_slot& kernel = maps_.slot(free);
  kernel = {};
  kernel.l2_len = attachment.l2_len;
  kernel.handed_over = attachment.place.handed_over ? 1 : 0;
  return free;
}

Status PacketEngine::attach_one(const Attachment& attachment, unsigned fault) {
  auto number = slot_for(attachment);
  if (!number) return std::unexpected(number.error());
  const chaos_direction direction = attachment.direction;
  std::shared_ptr<Slot> slot;
  {
    const std::scoped_lock lock(mutex_);
    slot = slots_.at(*number);
    // Counted as a user from here on, so that an error below is undone by detach() like anything else.
    ++slot->users[direction];
    // One that joins a fault at work counts from now on.
    const std::uint64_t seen = active_[fault].armed ? maps_.read_seen(*number, direction) : 0;
    active_[fault].watches.push_back({*number, direction, seen});
  }
  if (!slot->hooks[direction]) {
    auto hook = attachment.make_hook(*number);
    if (!hook) return with_context(attachment.name, hook.error());
    const std::scoped_lock lock(mutex_);
    slot->hooks[direction].emplace(std::move(*hook));
  }
  if (attachment.line.ifindex != 0) {
    maps_.slot(*number).line = attachment.line.number;
    maps_.slot(*number).line_ifindex = attachment.line.ifindex;
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
    active_[fault].armed = true;
  }
  const auto deadline = system_clock().boottime() + duration;
  lines_.start(fault);
  maps_.fault(fault).deadline_boot_ns = static_cast<std::uint64_t>(deadline.count());
  std::atomic_thread_fence(std::memory_order_seq_cst);
  classifier_.activate(fault);
  return {};
}

void PacketEngine::silence(unsigned fault) { classifier_.silence(fault); }

std::uint64_t PacketEngine::evaluated_at(const Watch& watch) const {
  return maps_.read_seen(watch.slot, watch.direction) - watch.seen_before;
}

Counters PacketEngine::counters(unsigned fault) const {
  // Held to the end: a place that is let go meanwhile would be counted twice or not at all.
  const std::scoped_lock lock(mutex_);
  const chaos_counters& before = active_[fault].before;
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
  if (const auto held = lines_.figures(fault)) {
    // While it is at work, what is on its way to the line is no loss; at the end, what never came there is.
    const std::uint64_t arrived = held->tally.arrived.load();
    const std::uint64_t expected = result.injected - result.injected_jointly;
    std::uint64_t lost = held->tally.over_limit.load();
    if (active_[fault].ended && expected > arrived) lost += expected - arrived;
    result.injected -= std::min(lost, result.injected);
    result.over_limit += lost;
  }
  result.matched = result.injected + result.shadowed + result.not_sampled + result.spared_protected +
                   result.spared_budget + result.spared_expired + result.over_limit;
  // Read after the outcomes: what matched has been seen by then.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  result.evaluated = active_[fault].evaluated;
  for (const Watch& watch : active_[fault].watches) result.evaluated += evaluated_at(watch);
  result.unmatched = result.evaluated - result.matched;
  return result;
}

Counters PacketEngine::release(unsigned fault, bool discard) {
  classifier_.silence(fault);
  wait_for_packets_in_flight();
  if (lines_.holds(fault)) {
    lines_.end(fault, discard);
    {
      const std::scoped_lock lock(mutex_);
      active_[fault].ended = true;
    }
    // What goes back to a device's ingress passes our program there once more, some time soon.
    wait_for_packets_in_flight();
  }
  const Counters result = counters(fault);
  detach(fault, [](const Slot&, chaos_direction) { return true; });
  forget_lines(lines_.leave(fault));
  classifier_.remove(fault);
  process_sockets_.untrack(fault);
  handed_over_.remove(fault);
  maps_.forget_flows(maps_.fault(fault).generation);
  const std::scoped_lock lock(mutex_);
  active_[fault] = {};
  return result;
}

void PacketEngine::forget_lines(const std::vector<std::uint64_t>& namespaces) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [number, slot] : slots_) {
    if (contains(namespaces, slot->place.netns)) maps_.slot(number).line_ifindex = 0;
  }
}

void PacketEngine::detach(unsigned fault, const std::function<bool(const Slot&, chaos_direction)>& which) {
  std::vector<Watch> going;
  {
    const std::scoped_lock lock(mutex_);
    std::ranges::copy_if(active_[fault].watches, std::back_inserter(going),
                         [&](const Watch& watch) { return which(*slots_.at(watch.slot), watch.direction); });
  }
  if (going.empty()) return;
  for (const Watch& watch : going) classifier_.remove_from_slot(fault, watch.slot, watch.direction);
  // What matched at these places has been counted as seen there by then.
  if (classifier_.active(fault)) wait_for_packets_in_flight();
  // Closing links takes milliseconds each: collect them under the lock, close them outside.
  std::vector<std::optional<PacketHook>> closing;
  {
    const std::scoped_lock lock(mutex_);
    for (const Watch& watch : going) {
      active_[fault].evaluated += evaluated_at(watch);
      std::erase_if(active_[fault].watches,
                    [&](const Watch& other) { return other.slot == watch.slot && other.direction == watch.direction; });
      const auto slot = slots_.at(watch.slot);
      if (--slot->users[watch.direction] == 0) closing.push_back(std::exchange(slot->hooks[watch.direction], {}));
      if (slot->users[CHAOS_EGRESS] + slot->users[CHAOS_INGRESS] == 0) slots_.erase(watch.slot);
    }
  }
  close_and_wait(std::move(closing));
}

Fault::TargetState PacketEngine::target_state(unsigned fault) const {
  Fault::TargetState state;
  const std::scoped_lock lock(mutex_);
  // One that is narrowed to sockets goes where they go: see follow().
  if (active_[fault].by_socket) return state;
  const auto& watches = active_[fault].watches;
  std::set<unsigned> missing;
  std::set<unsigned> all;
  for (const Watch& watch : watches) {
    all.insert(watch.slot);
    const auto& hook = slots_.at(watch.slot)->hooks[watch.direction];
    if (hook && !hook->alive() && missing.insert(watch.slot).second) {
      state.remarks.push_back(slots_.at(watch.slot)->name + " is gone");
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
  for (const std::uint32_t id : process_sockets_.link_ids()) objects.links.insert(id);
  for (const std::uint32_t id : process_sockets_.program_ids()) objects.programs.insert(id);
  const Lines::Objects lines = lines_.objects();
  objects.links.insert(lines.links.begin(), lines.links.end());
  objects.programs.insert(lines.programs.begin(), lines.programs.end());
  objects.maps.insert(lines.maps.begin(), lines.maps.end());
  objects.devices.insert(lines.devices.begin(), lines.devices.end());
  const std::scoped_lock lock(mutex_);
  for (const auto& [number, slot] : slots_) {
    for (const auto& hook : slot->hooks) {
      if (!hook) continue;
      for (const std::uint32_t id : hook->link_ids()) objects.links.insert(id);
      for (const std::uint32_t id : hook->program_ids()) objects.programs.insert(id);
      for (const std::uint32_t id : hook->map_ids()) objects.maps.insert(id);
    }
  }
  return objects;
}

}  // namespace chaos
