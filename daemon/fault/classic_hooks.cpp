#include "fault/classic_hooks.h"

#include <net/if.h>

#include <array>

#include "kernel/bpf_compat.h"
#include "kernel/classic_tc.h"
#include "kernel/netns.h"

namespace chaos {
namespace {

/// Marks our filters for people who look at `tc filter show`; with the slot it is unique on a device.
constexpr std::uint32_t kHandleBase = 0xc4a05000;
/// Somebody else may take the priority between the look and the change.
constexpr int kTries = 5;

}  // namespace

bool ClassicHook::alive() const {
  auto netns = Netns::open(netns_path_);
  if (!netns || netns->inode() != netns_) netns = Netns::find(netns_);
  if (!netns) return false;
  bool there = false;
  const Status entered = netns->run([&] {
    std::array<char, IF_NAMESIZE> name{};
    there = ::if_indextoname(ifindex_, name.data()) != nullptr;
  });
  return entered && there;
}

Result<std::shared_ptr<JournaledChange>> ClassicHooks::clsact_of(std::uint64_t netns, unsigned ifindex) {
  std::erase_if(clsact_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = clsact_[{netns, ifindex}];
  if (auto ours = known.lock()) return ours;
  for (int attempt = 1;; ++attempt) {
    const auto there = has_clsact(ifindex);
    if (!there) return std::unexpected(there.error());
    if (*there) return std::shared_ptr<JournaledChange>();
    auto change = JournaledChange::make(*journal_, ClsactAdded{netns, ifindex}, [&] { return add_clsact(ifindex); });
    if (change) {
      auto ours = std::make_shared<JournaledChange>(std::move(*change));
      known = ours;
      return ours;
    }
    if (change.error().code != Errc::kRefused || attempt == kTries) return std::unexpected(change.error());
  }
}

Result<ClassicHook> ClassicHooks::attach(const PacketPrograms& programs, std::uint64_t netns, unsigned ifindex,
                                         unsigned slot, chaos_direction direction) {
  const auto program = programs.make_entry(slot, direction);
  if (!program) return std::unexpected(program.error());
  auto clsact = clsact_of(netns, ifindex);
  if (!clsact) return std::unexpected(clsact.error());
  const TcSide side = direction == CHAOS_EGRESS ? TcSide::kEgress : TcSide::kIngress;
  const std::uint32_t handle = kHandleBase | slot;
  const std::uint32_t program_id = bpf_program_id(program->get());
  const auto path = Netns::find(netns);
  for (int attempt = 1;; ++attempt) {
    const auto priority = free_tc_priority(ifindex, side);
    if (!priority) return std::unexpected(priority.error());
    auto filter = JournaledChange::make(
        *journal_, TcFilterAdded{netns, ifindex, direction == CHAOS_EGRESS, *priority, handle, program_id},
        [&] { return add_tc_filter(ifindex, side, *priority, handle, program->get()); });
    if (filter) {
      ClassicHook hook(std::move(*clsact), std::make_unique<JournaledChange>(std::move(*filter)));
      hook.netns_ = netns;
      hook.netns_path_ = path ? path->path() : std::string("/proc/self/ns/net");
      hook.ifindex_ = ifindex;
      hook.program_id_ = program_id;
      return hook;
    }
    if (filter.error().code != Errc::kRefused || attempt == kTries) return std::unexpected(filter.error());
  }
}

}  // namespace chaos
