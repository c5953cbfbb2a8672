#include "kernel/net_probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <telemetry_net.skel.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <span>

#include "base/instance.h"
#include "kernel/bpf_compat.h"
#include "kernel/tracepoints.h"
#include "kernel/watch_maps.h"

namespace chaos {
namespace {

struct SkeletonDeleter {
  void operator()(telemetry_net_bpf* skeleton) const { telemetry_net_bpf__destroy(skeleton); }
};

constexpr std::array<std::string_view, 2> kDropPrograms{"watch_drops", "watch_oom_kills"};

/// All counts are 64-bit numbers.
std::span<__u64> numbers(chaos_net_counts& counts) {
  return {reinterpret_cast<__u64*>(&counts), sizeof(chaos_net_counts) / sizeof(__u64)};
}
std::span<const __u64> numbers(const chaos_net_counts& counts) {
  return {reinterpret_cast<const __u64*>(&counts), sizeof(chaos_net_counts) / sizeof(__u64)};
}

}  // namespace

struct NetProbes::Impl {
  std::unique_ptr<telemetry_net_bpf, SkeletonDeleter> skeleton;
  WatchScope scope;
  UniqueFd counts_map;
  MappedArray<chaos_net_counts> counts;
  std::vector<UniqueFd> links;

  Status make_maps(std::string_view tag) {
    auto made = WatchScope::create(tag);
    if (!made) return std::unexpected(made.error());
    scope = std::move(*made);
    const std::uint32_t cpus = possible_cpus();
    auto map = create_watch_array(tag, "wnc", sizeof(chaos_net_counts), std::max(cpus, 1U));
    if (!map) return std::unexpected(map.error());
    counts_map = std::move(*map);
    auto memory = MappedArray<chaos_net_counts>::map(counts_map.get(), std::max(cpus, 1U));
    if (!memory) return std::unexpected(memory.error());
    counts = std::move(*memory);
    return {};
  }

  Status load(NetWatch what, const ProbeIdentity& identity) {
    const Result<Tracepoints>& facts = tracepoints();
    if (!facts) return std::unexpected(facts.error());
    if (what == NetWatch::kDrops && !facts->drop_reasons) {
      return fail(Errc::kUnsupported, "this kernel gives no reasons for drops", {}, "Linux 5.17 or newer");
    }
    skeleton.reset(telemetry_net_bpf__open());
    if (!skeleton) return fail_errno("open the programs that watch the network");
    auto* constants = skeleton->rodata;
    constants->drop_names_receiver = facts->drop_receivers;
    constants->retransmit_has_result = facts->retransmit_results;
    constants->victim_is_task = facts->victim_is_task;
    constants->drop_mark = identity.drop_mark;
    const std::string devices = device_name_prefix_of_tag(identity.tag);
    static_assert(sizeof constants->line_device == CHAOS_DEVICE_PREFIX);
    std::memcpy(const_cast<char*>(&constants->line_device[0]), devices.data(),
                std::min<std::size_t>(devices.size(), CHAOS_DEVICE_PREFIX));
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      const bool of_drops = std::ranges::find(kDropPrograms, bpf_program__name(program)) != kDropPrograms.end();
      bpf_program__set_autoload(program, of_drops == (what == NetWatch::kDrops));
    }
    Status status = use_map(*skeleton->obj, "telemetry_scope", scope.fd());
    if (status) status = use_map(*skeleton->obj, "net_counts", counts_map.get());
    if (!status) return status;
    if (const int err = telemetry_net_bpf__load(skeleton.get()); err != 0) {
      Error error = fail_errno("load the programs that watch the network", -err).error();
      error.code = Errc::kUnsupported;
      return std::unexpected(std::move(error));
    }
    return {};
  }

  Status attach() {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
      if (!bpf_program__autoload(program)) continue;
      auto link = attach_watch(*program);
      if (!link) return std::unexpected(link.error());
      links.push_back(std::move(*link));
    }
    return {};
  }
};

NetProbes::NetProbes(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NetProbes::NetProbes(NetProbes&&) noexcept = default;
NetProbes& NetProbes::operator=(NetProbes&&) noexcept = default;
NetProbes::~NetProbes() = default;

Result<NetProbes> NetProbes::attach(NetWatch what, const ProbeIdentity& identity,
                                    const std::optional<std::vector<Cgroup>>& cgroups) {
  auto impl = std::make_unique<Impl>();
  Status status = impl->make_maps(identity.tag);
  if (status && cgroups) status = impl->scope.narrow_to(*cgroups);
  if (status) status = impl->load(what, identity);
  if (status) status = impl->attach();
  if (!status) return std::unexpected(status.error());
  return NetProbes(std::move(impl));
}

Status NetProbes::narrow_to(const std::vector<Cgroup>& cgroups) { return impl_->scope.narrow_to(cgroups); }

chaos_net_counts NetProbes::read() const {
  chaos_net_counts sum{};
  const std::span<__u64> total = numbers(sum);
  for (std::size_t cpu = 0; cpu < impl_->counts.size(); ++cpu) {
    const std::span<__u64> own = numbers(impl_->counts[cpu]);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += std::atomic_ref(own[i]).load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t NetProbes::missed() const { return missed_runs(*impl_->skeleton->obj); }

std::vector<std::uint32_t> NetProbes::map_ids() const {
  return {bpf_map_id(impl_->scope.fd()), bpf_map_id(impl_->counts_map.get())};
}

std::vector<std::uint32_t> NetProbes::program_ids() const { return loaded_program_ids(*impl_->skeleton->obj); }

std::vector<std::uint32_t> NetProbes::link_ids() const {
  std::vector<std::uint32_t> ids;
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

chaos_net_counts difference(const chaos_net_counts& now, const chaos_net_counts& before) {
  chaos_net_counts out{};
  for (std::size_t i = 0; i < numbers(out).size(); ++i) numbers(out)[i] = numbers(now)[i] - numbers(before)[i];
  return out;
}

}  // namespace chaos
