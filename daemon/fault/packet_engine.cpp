#include "fault/packet_engine.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"
#include "base/contains.h"
#include "base/instance.h"
#include "fault/prefix_key.h"
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

/// Whether one side of a place is meant by `reach`.
bool is_in(const Reach& reach, const PacketPlace& place, chaos_direction direction) {
  if (place.handed_over) return true;
  if (place.cgroup != 0) return reach.owners && contains(reach.owners->cgroups, place.cgroup, &Cgroup::id);
  return std::ranges::any_of(reach.networks, [&](const PlannedNetwork& network) {
    return network.netns->inode() == place.netns &&
           std::ranges::any_of(network.interfaces, [&](const PlannedInterface& planned) {
             return planned.interface.ifindex == place.ifindex &&
                    (direction == CHAOS_EGRESS ? planned.egress : planned.ingress);
           });
  });
}

}  // namespace

PacketEngine::PacketEngine(const std::string& tag, SharedMaps maps, PacketPrograms programs, bool classic,
                           UndoJournal* journal)
    : maps_(std::move(maps)),
      classifier_(maps_),
      process_sockets_(maps_, tag),
      handed_over_(maps_),
      lines_(maps_, tag, classic),
      places_(maps_, tag, std::move(programs), classic ? journal : nullptr) {}

Result<std::unique_ptr<PacketEngine>> PacketEngine::create(std::string_view instance, UndoJournal* journal,
                                                           PacketHookChoice choice) {
  const std::string tag = instance_tag(instance);
  auto maps = SharedMaps::create(tag);
  if (!maps) return std::unexpected(maps.error());
  auto programs = PacketPrograms::load(*maps, tag);
  if (!programs) return std::unexpected(programs.error());
  const bool wanted = choice == PacketHookChoice::kClsact || (choice == PacketHookChoice::kAuto && !has_tcx());
  return std::unique_ptr<PacketEngine>(new PacketEngine(tag, std::move(*maps), std::move(*programs), wanted, journal));
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

bool PacketEngine::refuses_calls(unsigned fault) const {
  const std::scoped_lock lock(mutex_);
  return active_[fault].refuses_calls;
}

bool PacketEngine::is_at(unsigned fault, const PacketPlaces::Wanted& wanted) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(active_[fault].watches, [&](const Watch& watch) {
    return watch.side.direction == wanted.direction && places_.place(watch.side) == wanted.place &&
           places_.alive(watch.side);
  });
}

Status PacketEngine::attach(const Reach& reach, unsigned fault) {
  Status status;
  const auto attach_new = [&](const PacketPlaces::Wanted& wanted, const Lines::Place& line) {
    if (status && !is_at(fault, wanted)) status = attach_one(wanted, line, fault);
  };
  if (reach.owners) {
    if (reach.owners->by == OwnedBy::kProcess) status = process_sockets_.track(fault, reach.owners->processes);
    if (reach.owners->by == OwnedBy::kCgroup) status = classifier_.set_cgroups(fault, reach.owners->cgroups);
    for (const Cgroup& cgroup : reach.owners->cgroups) {
      if (reach.owners->ingress) attach_new(places_.on_cgroup(cgroup, CHAOS_INGRESS), {});
      if (refuses_calls(fault)) attach_new(places_.on_cgroup(cgroup, CHAOS_EGRESS), {});
    }
    if (status && !reach.owners->handed_over.empty()) {
      const auto root = cover_handed_over(*reach.owners, fault);
      if (!root) return std::unexpected(root.error());
      if (reach.owners->ingress) attach_new(places_.on_cgroup(*root, CHAOS_INGRESS, true), {});
      if (refuses_calls(fault)) attach_new(places_.on_cgroup(*root, CHAOS_EGRESS, true), {});
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

bool PacketEngine::renew_handed_over(unsigned fault, Reach& reach) {
  if (!reach.owners) return true;
  {
    const std::scoped_lock lock(mutex_);
    if (active_[fault].members == reach.owners->members) return true;
  }
  auto found = find_handed_over(*reach.owners);
  if (!found) {
    spdlog::debug("sockets that were handed over are looked for again: {}", found.error().message);
    return false;
  }
  reach.owners->handed_over = std::move(found->sockets);
  return true;
}

Status PacketEngine::attach_devices(const PlannedNetwork& network, unsigned fault, const AttachNew& attach_new) {
  const std::uint64_t netns = network.netns->inode();
  Lines::Place line;
  if (lines_.holds(fault) && !network.interfaces.empty()) {
    const auto joined = lines_.join(fault, *network.netns);
    if (!joined) return std::unexpected(joined.error());
    line = *joined;
  }
  for (const PlannedInterface& planned : network.interfaces) {
    if (planned.egress) attach_new(places_.on_device(netns, planned.interface, CHAOS_EGRESS), line);
    if (planned.ingress) attach_new(places_.on_device(netns, planned.interface, CHAOS_INGRESS), line);
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
  const bool looked = renew_handed_over(fault, reach);
  Status status = attach(reach, fault);
  // What could not be found out is looked for again the next time.
  if (status && looked && reach.owners) {
    const std::scoped_lock lock(mutex_);
    active_[fault].members = reach.owners->members;
  }
  detach(fault,
         [&](PlaceSide side) { return !places_.alive(side) || !is_in(reach, places_.place(side), side.direction); });
  return status;
}

Status PacketEngine::attach_one(const PacketPlaces::Wanted& wanted, const Lines::Place& line, unsigned fault) {
  const auto side = places_.take(wanted);
  if (!side) return std::unexpected(side.error());
  {
    // From here on an error is undone by detach() like anything else.
    const std::scoped_lock lock(mutex_);
    // One that joins a fault at work counts from now on.
    const std::uint64_t seen = active_[fault].armed ? maps_.read_seen(side->slot, side->direction) : 0;
    active_[fault].watches.push_back({*side, seen});
  }
  if (Status status = places_.hang(*side, wanted); !status) return status;
  if (line.ifindex != 0) places_.set_line(*side, line.number, line.ifindex);
  classifier_.add_to_slot(fault, side->slot, side->direction);
  return {};
}

Status PacketEngine::arm(unsigned fault, std::chrono::nanoseconds duration) {
  const Fault::TargetState state = target_state(fault);
  if (state.gone) return fail(Errc::kUnavailable, "the target's interfaces went away while the fault was set up");
  {
    const std::scoped_lock lock(mutex_);
    for (Watch& watch : active_[fault].watches) {
      watch.seen_before = maps_.read_seen(watch.side.slot, watch.side.direction);
    }
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
  return maps_.read_seen(watch.side.slot, watch.side.direction) - watch.seen_before;
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
  detach(fault, [](PlaceSide) { return true; });
  places_.forget_lines(lines_.leave(fault));
  classifier_.remove(fault);
  process_sockets_.untrack(fault);
  handed_over_.remove(fault);
  maps_.forget_flows(maps_.fault(fault).generation);
  const std::scoped_lock lock(mutex_);
  active_[fault] = {};
  return result;
}

void PacketEngine::detach(unsigned fault, const std::function<bool(PlaceSide)>& which) {
  std::vector<Watch> going;
  {
    const std::scoped_lock lock(mutex_);
    std::ranges::copy_if(active_[fault].watches, std::back_inserter(going),
                         [&](const Watch& watch) { return which(watch.side); });
  }
  if (going.empty()) return;
  for (const Watch& watch : going) classifier_.remove_from_slot(fault, watch.side.slot, watch.side.direction);
  // What matched at these places has been counted as seen there by then.
  if (classifier_.active(fault)) wait_for_packets_in_flight();
  std::vector<PlaceSide> sides;
  PacketPlaces::Closing closing;
  {
    const std::scoped_lock lock(mutex_);
    for (const Watch& watch : going) {
      active_[fault].evaluated += evaluated_at(watch);
      std::erase_if(active_[fault].watches, [&](const Watch& other) { return other.side == watch.side; });
      sides.push_back(watch.side);
    }
    closing = places_.let_go(sides);
  }
  // Milliseconds each, which nobody else waits for.
  PacketPlaces::close_and_wait(std::move(closing));
}

Fault::TargetState PacketEngine::target_state(unsigned fault) const {
  Fault::TargetState state;
  const std::scoped_lock lock(mutex_);
  // One that is narrowed to sockets goes where they go: see follow().
  if (active_[fault].by_socket) return state;
  std::set<unsigned> missing;
  std::set<unsigned> all;
  for (const Watch& watch : active_[fault].watches) {
    all.insert(watch.side.slot);
    if (places_.gone(watch.side) && missing.insert(watch.side.slot).second) {
      state.remarks.push_back(places_.name(watch.side) + " is gone");
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
  const auto add = [](std::set<std::uint32_t>& to, const auto& ids) { to.insert(ids.begin(), ids.end()); };
  add(objects.maps, maps_.ids());
  add(objects.links, process_sockets_.link_ids());
  add(objects.programs, process_sockets_.program_ids());
  const Lines::Objects lines = lines_.objects();
  add(objects.links, lines.links);
  add(objects.programs, lines.programs);
  add(objects.maps, lines.maps);
  objects.devices.insert(lines.devices.begin(), lines.devices.end());
  const PacketPlaces::Objects hung = places_.objects();
  add(objects.links, hung.links);
  add(objects.programs, hung.programs);
  add(objects.maps, hung.maps);
  return objects;
}

}  // namespace chaos
