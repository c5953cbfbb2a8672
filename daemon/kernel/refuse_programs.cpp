#include "kernel/refuse_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <refuse.skel.h>

#include <string>

#include "kernel/bpf_compat.h"

namespace chaos {
namespace {

struct SkeletonDeleter {
  void operator()(refuse_bpf* skeleton) const { refuse_bpf__destroy(skeleton); }
};

/// The map that tells this load its slot.
Result<UniqueFd> make_slot_map(std::string_view tag, unsigned slot) {
  const std::string name = "chaos_" + std::string(tag) + "_slo";
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, name.c_str(), 4, 4, 1, nullptr));
  const std::uint32_t zero = 0;
  if (!map.valid() || bpf_map_update_elem(map.get(), &zero, &slot, BPF_ANY) != 0) {
    return fail_errno("create BPF map " + name);
  }
  return map;
}

}  // namespace

struct RefuseHook::Impl {
  std::unique_ptr<refuse_bpf, SkeletonDeleter> skeleton;
  UniqueFd slot_map;
  std::vector<UniqueFd> links;

  Status attach(int cgroup_fd) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      auto link = cgroup_link_create(bpf_program__fd(program), cgroup_fd, bpf_program__expected_attach_type(program));
      if (!link) return std::unexpected(link.error());
      links.push_back(std::move(*link));
    }
    return {};
  }
};

RefuseHook::RefuseHook(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RefuseHook::RefuseHook(RefuseHook&&) noexcept = default;
RefuseHook& RefuseHook::operator=(RefuseHook&&) noexcept = default;
RefuseHook::~RefuseHook() = default;

Result<RefuseHook> RefuseHook::attach(const SharedMaps& maps, std::string_view tag, int cgroup_fd, unsigned slot) {
  auto impl = std::make_unique<Impl>();
  auto slot_map = make_slot_map(tag, slot);
  if (!slot_map) return std::unexpected(slot_map.error());
  impl->slot_map = std::move(*slot_map);
  impl->skeleton.reset(refuse_bpf__open());
  if (!impl->skeleton) return fail_errno("open the programs that refuse calls");
  Status status = maps.share_with(*impl->skeleton->obj, {{"call_slot", impl->slot_map.get()}});
  if (!status) return std::unexpected(status.error());
  if (const int err = refuse_bpf__load(impl->skeleton.get()); err != 0) {
    return fail_errno("load the programs that refuse calls", -err);
  }
  if (status = impl->attach(cgroup_fd); !status) return std::unexpected(status.error());
  return RefuseHook(std::move(impl));
}

bool RefuseHook::alive() const { return cgroup_link_target(impl_->links.front().get()) != 0; }

std::vector<std::uint32_t> RefuseHook::link_ids() const {
  std::vector<std::uint32_t> ids;
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

std::vector<std::uint32_t> RefuseHook::program_ids() const {
  std::vector<std::uint32_t> ids;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, impl_->skeleton->obj) ids.push_back(bpf_program_id(bpf_program__fd(program)));
  return ids;
}

std::vector<std::uint32_t> RefuseHook::map_ids() const { return {bpf_map_id(impl_->slot_map.get())}; }

}  // namespace chaos
