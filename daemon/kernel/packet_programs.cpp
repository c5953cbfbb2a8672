#include "kernel/packet_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <packet.skel.h>
#include <sys/resource.h>

#include <array>
#include <cstddef>

#include "kernel/bpf_compat.h"

namespace chaos {
namespace {

// No other fd may be above the switch: chaosd opens none past its limit, so the top of the table is free for it. The
// limit is bounded because the kernel's fd table grows with the highest number (8 bytes each).
constexpr rlim_t kMaxFds = 4096;

Result<UniqueFd> move_to_top(UniqueFd fd) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("read RLIMIT_NOFILE");
  if (limit.rlim_cur != kMaxFds) {
    limit.rlim_cur = std::min<rlim_t>(kMaxFds, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("set RLIMIT_NOFILE");
  }
  // From the top down: another PacketPrograms of this process (tests) may sit there already.
  for (int wanted = static_cast<int>(limit.rlim_cur) - 1; wanted > 0; --wanted) {
    if (fcntl(wanted, F_GETFD) != -1) continue;
    UniqueFd top(fcntl(fd.get(), F_DUPFD_CLOEXEC, wanted));
    if (!top.valid()) return fail_errno("move the switch to the highest fd");
    return top;
  }
  return fail(Errc::kInternal, "no free file descriptor for the switch");
}

struct SkeletonDeleter {
  void operator()(packet_bpf* skeleton) const { packet_bpf__destroy(skeleton); }
};

/// The switch is ours and not the skeleton's: the skeleton's fd would be a second user of it.
Result<UniqueFd> make_switch(const std::string& name, int program_fd) {
  UniqueFd low(bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, name.c_str(), 4, 4, CHAOS_SWITCH_SIZE, nullptr));
  if (!low.valid()) return fail_errno("create BPF map " + name);
  auto top = move_to_top(std::move(low));
  if (!top) return top;
  const std::uint32_t index = CHAOS_SWITCH_CLASSIFY;
  if (bpf_map_update_elem(top->get(), &index, &program_fd, BPF_ANY) != 0) return fail_errno("set the switch");
  return top;
}

/// skb->cb[WORD] = where; tail_call(skb, switch, CLASSIFY); return pass_on: an emptied switch falls through to it.
std::array<bpf_insn, 9> entry_code(std::int32_t where, int switch_fd, std::int32_t pass_on) {
  constexpr auto kCbOffset = static_cast<std::int16_t>(offsetof(__sk_buff, cb) + sizeof(std::uint32_t) * CHAOS_CB_WORD);
  // CLASSIFY is written as the top bit of `where`, 0 in a way that the verifier does not see through. With an index
  // that it knows the call becomes a jump, and the kernel then empties the switch by patching one program after the
  // other with an RCU grace period for each (bpf_arch_poke_desc_update in arch/x86/net/bpf_jit_comp.c): 25 to 45 ms
  // for 33 programs instead of 1 (tried on 6.18); the jump would save 10 ns a packet.
  static_assert(CHAOS_SWITCH_CLASSIFY == 0 && CHAOS_MAX_SLOTS <= 1U << 30);
  return {{
      {BPF_ALU | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, where},
      {BPF_STX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_2, kCbOffset, 0},
      {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_2, BPF_PSEUDO_MAP_FD, 0, switch_fd},
      {0, 0, 0, 0, 0},
      {BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, kCbOffset, 0},
      {BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 31},
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call},
      {BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, pass_on},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  }};
}

Result<UniqueFd> load_entry(bpf_prog_type type, const std::string& name, const std::array<bpf_insn, 9>& code) {
  UniqueFd program(bpf_prog_load(type, name.c_str(), "Dual MIT/GPL", code.data(), code.size(), nullptr));
  if (!program.valid()) return fail_errno("load entry program " + name);
  return program;
}

std::int32_t where_of(unsigned slot, chaos_direction direction) {
  return static_cast<std::int32_t>(slot << 1 | static_cast<unsigned>(direction));
}

}  // namespace

bool TcxHook::alive() const {
  auto info = tcx_link_info(link_.get());
  return info && info->ifindex != 0;
}

std::uint32_t TcxHook::link_id() const {
  auto info = tcx_link_info(link_.get());
  return info ? info->id : 0;
}

std::uint32_t TcxHook::program_id() const { return bpf_program_id(program_.get()); }

bool CgroupHook::alive() const { return cgroup_link_target(link_.get()) != 0; }
std::uint32_t CgroupHook::link_id() const { return bpf_link_id(link_.get()); }
std::uint32_t CgroupHook::program_id() const { return bpf_program_id(program_.get()); }

struct PacketPrograms::Impl {
  std::unique_ptr<packet_bpf, SkeletonDeleter> skeleton;
  UniqueFd devices;   ///< switch of what hangs on devices
  UniqueFd arrivals;  ///< switch of what hangs on cgroups
  std::string tag;
};

PacketPrograms::PacketPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PacketPrograms::PacketPrograms(PacketPrograms&&) noexcept = default;
PacketPrograms& PacketPrograms::operator=(PacketPrograms&&) noexcept = default;
PacketPrograms::~PacketPrograms() = default;

Result<PacketPrograms> PacketPrograms::load(const SharedMaps& maps, std::string_view tag) {
  auto impl = std::make_unique<Impl>();
  impl->tag = tag;
  impl->skeleton.reset(packet_bpf__open());
  if (!impl->skeleton) return fail_errno("open packet programs");
  if (Status status = maps.share_with(*impl->skeleton->obj); !status) return std::unexpected(status.error());
  if (const int err = packet_bpf__load(impl->skeleton.get()); err != 0) {
    return fail_errno("load packet programs", -err);
  }
  auto devices = make_switch("chaos_" + impl->tag + "_sw", bpf_program__fd(impl->skeleton->progs.chaos_classify));
  if (!devices) return std::unexpected(devices.error());
  impl->devices = std::move(*devices);
  auto arrivals = make_switch("chaos_" + impl->tag + "_swa", bpf_program__fd(impl->skeleton->progs.chaos_arrivals));
  if (!arrivals) return std::unexpected(arrivals.error());
  impl->arrivals = std::move(*arrivals);
  return PacketPrograms(std::move(impl));
}

Result<UniqueFd> PacketPrograms::make_entry(unsigned slot, chaos_direction direction) const {
  return load_entry(BPF_PROG_TYPE_SCHED_CLS, "chaos_" + impl_->tag + (direction == CHAOS_EGRESS ? "_eg" : "_in"),
                    entry_code(where_of(slot, direction), impl_->devices.get(), -1));
}

Result<UniqueFd> PacketPrograms::make_arrivals_entry(unsigned slot) const {
  return load_entry(BPF_PROG_TYPE_CGROUP_SKB, "chaos_" + impl_->tag + "_ar",
                    entry_code(where_of(slot, CHAOS_INGRESS), impl_->arrivals.get(), 1));
}

Result<TcxHook> PacketPrograms::attach(unsigned ifindex, unsigned slot, chaos_direction direction) const {
  auto program = make_entry(slot, direction);
  if (!program) return std::unexpected(program.error());
  auto link = tcx_link_create(program->get(), ifindex, direction == CHAOS_EGRESS);
  if (!link) return std::unexpected(link.error());
  return TcxHook(std::move(*program), std::move(*link));
}

Result<CgroupHook> PacketPrograms::attach_arrivals(int cgroup_fd, unsigned slot) const {
  auto program = make_arrivals_entry(slot);
  if (!program) return std::unexpected(program.error());
  auto link = cgroup_link_create(program->get(), cgroup_fd, BPF_CGROUP_INET_INGRESS);
  if (!link) return std::unexpected(link.error());
  return CgroupHook(std::move(*program), std::move(*link));
}

int PacketPrograms::classifier_fd() const { return bpf_program__fd(impl_->skeleton->progs.chaos_classify); }

std::vector<std::uint32_t> PacketPrograms::program_ids() const {
  return {bpf_program_id(classifier_fd()), bpf_program_id(bpf_program__fd(impl_->skeleton->progs.chaos_arrivals))};
}

std::vector<std::uint32_t> PacketPrograms::map_ids() const {
  std::vector<std::uint32_t> ids{bpf_map_id(impl_->devices.get()), bpf_map_id(impl_->arrivals.get())};
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, impl_->skeleton->obj) {
    if (bpf_map__fd(map) >= 0) ids.push_back(bpf_map_id(bpf_map__fd(map)));
  }
  return ids;
}

}  // namespace chaos
