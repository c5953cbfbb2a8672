#include "fault/syscall_fault.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/clock.h"
#include "base/instance.h"
#include "kernel/bpf_compat.h"
#include "kernel/classifier.h"

namespace chaos {
namespace {

/// Whoever works on this host must be able to go on, and what it did must be on record (comm of the main thread).
constexpr std::array<std::string_view, 19> kSparedNames{"chaosd",
                                                        "chaosd-guardian",
                                                        kLoadWorkerComm,
                                                        kWaitComm,
                                                        "dbus-broker-lau",
                                                        "sshd",
                                                        "sshd-session",
                                                        "sshd-auth",
                                                        "login",
                                                        "agetty",
                                                        "sudo",
                                                        "su",
                                                        "systemd-logind",
                                                        "init",
                                                        "systemd-journal",
                                                        "systemd",
                                                        "(sd-pam)",
                                                        "dbus-daemon",
                                                        "dbus-broker"};
static_assert(kSparedNames.size() <= CHAOS_SPARED_NAMES);

/// What is detached is let go behind a grace period: a look for residue would find it.
constexpr std::chrono::milliseconds kFreePatience{1000};

/// A store that programs see at once, and in order.
void store(__u32& word, __u32 value) { std::atomic_ref(word).store(value); }

/// Shares of a list of weights, each with those before it, in 32 bits.
void write_errnos(chaos_syscall_rule& rule, const std::vector<SyscallRequest::WeightedErrno>& errnos) {
  std::uint64_t all = 0;
  for (const auto& one : errnos) all += one.weight;
  std::uint64_t so_far = 0;
  for (std::size_t i = 0; i < errnos.size(); ++i) {
    so_far += errnos[i].weight;
    rule.errnos[i].number = static_cast<__u32>(errnos[i].number);
    rule.errnos[i].up_to = so_far == all ? CHAOS_ALWAYS32 : static_cast<__u32>((so_far << 32) / all);
  }
  rule.errno_count = static_cast<__u32>(errnos.size());
}

void write_spared(chaos_syscall_rule& rule) {
  rule.spared_processes[0] = static_cast<__u32>(::getpid());
  for (std::size_t i = 0; i < kSparedNames.size(); ++i) {
    std::memcpy(rule.spared_names[i], kSparedNames[i].data(), kSparedNames[i].size());
  }
}

}  // namespace

SyscallFault::SyscallFault(SyscallEngine& engine, SyscallMaps maps, SyscallRequest request)
    : engine_(engine), request_(std::move(request)), maps_(std::move(maps)) {
  const std::scoped_lock lock(engine_.mutex_);
  engine_.faults_.insert(this);
}

SyscallFault::~SyscallFault() {
  (void)SyscallFault::remove();
  const std::scoped_lock lock(engine_.mutex_);
  engine_.faults_.erase(this);
}

Result<std::unique_ptr<Fault>> SyscallFault::prepare(SyscallEngine& engine, const Plan& plan,
                                                     const SyscallRequest& request, const LoadGround& ground) {
  auto maps = SyscallMaps::create(engine.tag_);
  if (!maps) return std::unexpected(maps.error());
  std::unique_ptr<SyscallFault> fault(new SyscallFault(engine, std::move(*maps), request));
  Status status = fault->write_rule(plan);
  if (status) status = fault->aim(*plan.reach.owners);
  if (status) status = fault->attach(ground, *plan.request.seed);
  if (!status) return std::unexpected(status.error());
  return fault;
}

Status SyscallFault::attach(const LoadGround& ground, std::uint64_t seed) {
  if (request_.wait) {
    WaitOrder order = *request_.wait;
    order.seed = seed;
    auto waits = SyscallWaits::create(engine_.shared_, *maps_, ground, engine_.tag_, order, request_.calls);
    if (!waits) return std::unexpected(waits.error());
    const std::scoped_lock lock(mutex_);
    waits_ = std::move(*waits);
    return {};
  }
  auto programs = SyscallPrograms::attach(engine_.shared_, *maps_, request_.calls);
  if (!programs) return std::unexpected(programs.error());
  const std::scoped_lock lock(mutex_);
  programs_.emplace(std::move(*programs));
  return {};
}

Status SyscallFault::write_rule(const Plan& plan) {
  chaos_syscall_rule& rule = maps_->rule();
  rule.fault.seed = *plan.request.seed;
  rule.fault.threshold = request_.probability.threshold32();
  rule.fault.flags = plan.request.mode == Mode::kShadow ? std::uint16_t{CHAOS_FAULT_SHADOW} : std::uint16_t{0};
  if (plan.parameters.contains("max_events")) {
    const auto budget = get_integer(plan.parameters, "max_events");
    if (!budget) return std::unexpected(budget.error());
    rule.fault.max_events = *budget;
  }
  rule.first = request_.first;
  rule.every = request_.every_nth;
  rule.min_size = request_.min_size;
  rule.fd_types = request_.fd_types;
  if (!request_.path.empty()) {
    const bool glob = request_.path.find_first_of("*?") != std::string::npos;
    rule.path_form = glob ? CHAOS_PATH_GLOB : CHAOS_PATH_PREFIX;
    std::memcpy(rule.path, request_.path.data(), request_.path.size());
  }
  write_errnos(rule, request_.errnos);
  write_spared(rule);
  if (plan.filter.uids.size() > CHAOS_SYSCALL_UIDS) {
    return fail(Errc::kRefused, "too many users", "target.uid", fmt::format("at most {}", CHAOS_SYSCALL_UIDS));
  }
  std::ranges::copy(plan.filter.uids, rule.uids);
  rule.uid_count = static_cast<__u32>(plan.filter.uids.size());
  return {};
}

Status SyscallFault::set_cgroups(const std::vector<Cgroup>& cgroups) {
  chaos_syscall_rule& rule = maps_->rule();
  if (cgroups.size() > CHAOS_SYSCALL_CGROUPS) {
    return fail(Errc::kRefused, fmt::format("the target is {} cgroups", cgroups.size()), "target",
                fmt::format("at most {} cgroups", CHAOS_SYSCALL_CGROUPS), "name a cgroup above them");
  }
  const bool same =
      rule.cgroup_count == cgroups.size() &&
      std::ranges::equal(cgroups, std::span(rule.cgroups, cgroups.size()), {}, &Cgroup::id, &chaos_caller_cgroup::id);
  if (same) return {};
  store(rule.cgroup_count, 0);
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    rule.cgroups[i].level = cgroups[i].level;
    rule.cgroups[i].id = cgroups[i].id;
  }
  store(rule.cgroup_count, static_cast<__u32>(cgroups.size()));
  return {};
}

Status SyscallFault::aim(const SocketOwners& owners) {
  chaos_syscall_rule& rule = maps_->rule();
  by_ = owners.by;
  switch (owners.by) {
    case OwnedBy::kCgroup:
      rule.caller = CHAOS_CALLER_CGROUP;
      return set_cgroups(owners.cgroups);
    case OwnedBy::kUser:
      rule.caller = CHAOS_CALLER_ANY;
      rule.netns = owners.netns;
      return {};
    case OwnedBy::kProcess:
      break;
  }
  rule.caller = CHAOS_CALLER_PROCESS;
  auto members = SyscallMembers::watch(engine_.shared_, *maps_);
  if (!members) return std::unexpected(members.error());
  {
    const std::scoped_lock lock(mutex_);
    members_.emplace(std::move(*members));
  }
  return members_->add(owners.processes);
}

Status SyscallFault::arm(std::chrono::nanoseconds duration) {
  const auto deadline = system_clock().boottime() + duration;
  maps_->rule().fault.deadline_boot_ns = static_cast<std::uint64_t>(deadline.count());
  store(maps_->rule().active, 1);
  return {};
}

void SyscallFault::silence() {
  const std::scoped_lock lock(mutex_);
  if (maps_) store(maps_->rule().active, 0);
  if (waits_) waits_->release();
}

Status SyscallFault::remove() {
  silence();
  std::optional<SyscallPrograms> programs;
  std::optional<SyscallMembers> members;
  {
    const std::scoped_lock lock(mutex_);
    if (!maps_) return {};
    if (programs_) missed_ = programs_->missed();
    programs = std::exchange(programs_, {});
    members = std::exchange(members_, {});
  }
  // What is at work in a program now is through with it, and counted, when the kernel has let go of the program.
  programs.reset();
  // Beside its figures, which may be asked for meanwhile.
  if (waits_) waits_->remove();
  if (members) {
    const std::vector<std::uint32_t> ids = members->program_ids();
    members.reset();
    for (const std::uint32_t id : ids) (void)wait_for_program_end(id, kFreePatience);
  }
  std::vector<std::uint32_t> ids;
  {
    const std::scoped_lock lock(mutex_);
    final_ = read_counters();
    final_figures_ = read_figures();
    ids = maps_->ids();
    if (waits_) {
      PacketEngine::Objects more;
      waits_->add_objects(more);
      ids.insert(ids.end(), more.maps.begin(), more.maps.end());
    }
    waits_.reset();
    maps_.reset();
  }
  for (const std::uint32_t id : ids) (void)wait_for_map_end(id, kFreePatience);
  return {};
}

Status SyscallFault::follow(const Reach& reach) {
  if (!reach.owners || !maps_ || std::atomic_ref(maps_->rule().active).load() == 0) return {};
  const SocketOwners& owners = *reach.owners;
  if (!owners.cgroups.empty() && owners.by != by_) {
    return fail(Errc::kUnsupported, "the target was told by its cgroup and now by its processes, or the reverse");
  }
  if (by_ == OwnedBy::kCgroup) return set_cgroups(owners.cgroups);
  return by_ == OwnedBy::kProcess && members_ ? members_->add(owners.processes) : Status();
}

Counters SyscallFault::counters() const {
  const std::scoped_lock lock(mutex_);
  return maps_ ? read_counters() : final_;
}

Counters SyscallFault::read_counters() const {
  // The outcomes first: what came to one has been evaluated by then.
  const chaos_counters now = maps_->read_counters();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Counters result;
  result.injected = now.injected;
  result.shadowed = now.shadowed;
  result.not_sampled = now.not_sampled;
  result.spared_protected = now.spared_protected;
  result.spared_budget = now.spared_budget;
  result.spared_expired = now.spared_expired;
  result.over_limit = now.over_limit;
  result.injected_jointly = now.injected_jointly;
  result.matched = now.injected + now.shadowed + now.not_sampled + now.spared_protected + now.spared_budget +
                   now.spared_expired + now.over_limit;
  result.evaluated = maps_->read_evaluated();
  result.unmatched = result.evaluated - result.matched;
  return result;
}

SyscallFault::Figures SyscallFault::read_figures() const {
  if (waits_) return waits_->achieved();
  Figures all;
  for (const MeantSyscall& meant : request_.calls) {
    for (unsigned place = 0; place < request_.errnos.size(); ++place) {
      const std::uint64_t count = maps_->read_injected(meant.call->number, place);
      if (count == 0) continue;
      all[fmt::format("{} {}", meant.call->name, errno_name(request_.errnos[place].number))] = std::to_string(count);
    }
  }
  return all;
}

std::map<std::string, std::string> SyscallFault::achieved(const Counters& counters) const {
  std::map<std::string, std::string> all;
  {
    const std::scoped_lock lock(mutex_);
    all = maps_ ? read_figures() : final_figures_;
  }
  const std::uint64_t decided = counters.injected + counters.shadowed + counters.not_sampled;
  if (decided == 0) return all;
  const double share = static_cast<double>(counters.injected + counters.shadowed) / static_cast<double>(decided);
  all["probability"] = fmt::format("{:.4g}%", 100.0 * share);
  return all;
}

Fault::TargetState SyscallFault::target_state() const {
  const std::scoped_lock lock(mutex_);
  if (waits_) return {.gone = false, .failure = waits_->failure(), .remarks = {}};
  const std::uint64_t missed = programs_ ? programs_->missed() : missed_;
  if (missed == 0) return {};
  return {.gone = false,
          .remarks = {"the kernel left out a program that was at work on the same CPU already: some calls went on "
                      "unseen and uncounted"}};
}

void SyscallFault::add_objects(PacketEngine::Objects& objects) const {
  const std::scoped_lock lock(mutex_);
  if (maps_) {
    for (const std::uint32_t id : maps_->ids()) objects.maps.insert(id);
  }
  if (programs_) {
    objects.links.insert(programs_->link_ids().begin(), programs_->link_ids().end());
    objects.programs.insert(programs_->program_ids().begin(), programs_->program_ids().end());
  }
  if (waits_) waits_->add_objects(objects);
  if (!members_) return;
  for (const std::uint32_t id : members_->link_ids()) objects.links.insert(id);
  for (const std::uint32_t id : members_->program_ids()) objects.programs.insert(id);
}

}  // namespace chaos
