#include "kernel/line_programs.h"

#include <bpf/libbpf.h>
#include <line.skel.h>

#include "kernel/bpf_compat.h"
#include "kernel/classic_tc.h"

namespace chaos {
namespace {

struct SkeletonDeleter {
  void operator()(line_bpf* skeleton) const { line_bpf__destroy(skeleton); }
};

constexpr std::uint32_t kClassicPlace = 1;  ///< priority and handle: the device is ours, nobody else is there

/// No record of it is kept: the device takes it along.
Status attach_classic(unsigned ifindex, int in, int out) {
  Status status = add_clsact(ifindex);
  if (status) status = add_tc_filter(ifindex, TcSide::kEgress, kClassicPlace, kClassicPlace, in);
  if (status) status = add_tc_filter(ifindex, TcSide::kIngress, kClassicPlace, kClassicPlace, out);
  return status;
}

}  // namespace

struct LinePrograms::Impl {
  std::unique_ptr<line_bpf, SkeletonDeleter> skeleton;
  std::vector<UniqueFd> links;
};

LinePrograms::LinePrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LinePrograms::LinePrograms(LinePrograms&&) noexcept = default;
LinePrograms& LinePrograms::operator=(LinePrograms&&) noexcept = default;
LinePrograms::~LinePrograms() = default;

Result<LinePrograms> LinePrograms::attach(const SharedMaps& maps, unsigned number, unsigned ifindex, bool classic) {
  auto impl = std::make_unique<Impl>();
  impl->skeleton.reset(line_bpf__open());
  if (!impl->skeleton) return fail_errno("open delay line programs");
  impl->skeleton->rodata->line_number = number;
  if (Status status = maps.share_with(*impl->skeleton->obj); !status) return std::unexpected(status.error());
  if (const int err = line_bpf__load(impl->skeleton.get()); err != 0) {
    return fail_errno("load delay line programs", -err);
  }
  const int in = bpf_program__fd(impl->skeleton->progs.chaos_line_in);
  const int out = bpf_program__fd(impl->skeleton->progs.chaos_line_out);
  if (classic) {
    if (Status status = attach_classic(ifindex, in, out); !status) return std::unexpected(status.error());
    return LinePrograms(std::move(impl));
  }
  for (const bool egress : {true, false}) {
    auto link = tcx_link_create(egress ? in : out, ifindex, egress);
    if (!link) return std::unexpected(link.error());
    impl->links.push_back(std::move(*link));
  }
  return LinePrograms(std::move(impl));
}

std::vector<std::uint32_t> LinePrograms::link_ids() const {
  std::vector<std::uint32_t> ids;
  ids.reserve(impl_->links.size());
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

std::vector<std::uint32_t> LinePrograms::program_ids() const {
  return {bpf_program_id(bpf_program__fd(impl_->skeleton->progs.chaos_line_in)),
          bpf_program_id(bpf_program__fd(impl_->skeleton->progs.chaos_line_out))};
}

std::vector<std::uint32_t> LinePrograms::map_ids() const {
  std::vector<std::uint32_t> ids;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, impl_->skeleton->obj) {
    if (bpf_map__fd(map) >= 0) ids.push_back(bpf_map_id(bpf_map__fd(map)));
  }
  return ids;
}

}  // namespace chaos
