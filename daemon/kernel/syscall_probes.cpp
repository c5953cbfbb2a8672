#include "kernel/syscall_probes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/utsname.h>
#include <telemetry_syscalls.skel.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "kernel/batch_read.h"
#include "kernel/bpf_compat.h"
#include "kernel/processes.h"
#include "kernel/watch_maps.h"

namespace chaos {
namespace {

struct SkeletonDeleter {
  void operator()(telemetry_syscalls_bpf* skeleton) const { telemetry_syscalls_bpf__destroy(skeleton); }
};

struct MapSpec {
  const char* name;        // in bpf/telemetry_syscalls.bpf.c
  const char* short_name;  // in the kernel: chaos_TAG_<short_name>
  bpf_map_type type;
  std::uint32_t key_size;
  std::uint32_t value_size;
  std::uint32_t entries;
};

// Made here so that they carry the instance's tag; the storage of tasks is left to libbpf, which describes it.
constexpr std::array kMaps{
    MapSpec{"call_counts", "wcc", BPF_MAP_TYPE_PERCPU_HASH, 4, sizeof(chaos_call_counts), CHAOS_OTHER_SYSCALLS + 1},
    MapSpec{"call_errors", "wce", BPF_MAP_TYPE_PERCPU_HASH, sizeof(chaos_call_error), 8, CHAOS_WATCHED_ERRNOS},
    MapSpec{"watched_processes", "wpr", BPF_MAP_TYPE_HASH, 4, 4, CHAOS_MAX_PROCESSES},
};

void add(chaos_call_counts& sum, const chaos_call_counts& own) {
  sum.calls += own.calls;
  sum.errors += own.errors;
  sum.injected += own.injected;
  sum.sum_ns += own.sum_ns;
  for (unsigned i = 0; i < CHAOS_LATENCY_BUCKETS; ++i) sum.latency[i] += own.latency[i];
}

struct Name {
  std::uint32_t number;
  std::string_view name;
};
constexpr Name kNames[] = {
#include "syscall_names.inc"
};

}  // namespace

bool may_preempt_syscall_tracepoints() {
  // 6.13: "tracing: Allow system call tracepoints to handle page faults".
  constexpr std::pair kFirst{6, 13};
  utsname name{};
  if (::uname(&name) != 0 || !std::string_view(name.version).contains("PREEMPT")) return false;
  int major = 0;
  int minor = 0;
  const std::string_view release(name.release);
  const auto parsed = std::from_chars(release.data(), release.data() + release.size(), major);
  if (parsed.ec != std::errc{} || parsed.ptr == release.data() + release.size()) return false;
  std::from_chars(parsed.ptr + 1, release.data() + release.size(), minor);
  return std::pair{major, minor} >= kFirst;
}

struct SyscallProbes::Impl {
  std::unique_ptr<telemetry_syscalls_bpf, SkeletonDeleter> skeleton;
  WatchScope scope;
  std::map<std::string_view, UniqueFd> maps;
  std::vector<UniqueFd> links;
  bool by_process = false;
  bool relieved = false;  // each program has its relief
  std::size_t cpus = 0;
  std::uint32_t* watch_calls = nullptr;  // once it is counted there

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (watch_calls != nullptr) std::atomic_ref(*watch_calls).fetch_sub(1);
  }

  Status make_maps(std::string_view tag) {
    cpus = std::max(possible_cpus(), 1U);
    auto made = WatchScope::create(tag);
    if (!made) return std::unexpected(made.error());
    scope = std::move(*made);
    for (const MapSpec& spec : kMaps) {
      const std::string name = "chaos_" + std::string(tag) + "_" + spec.short_name;
      LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
      UniqueFd map(bpf_map_create(spec.type, name.c_str(), spec.key_size, spec.value_size, spec.entries, &opts));
      if (!map.valid()) return fail_errno("create BPF map " + name);
      maps.emplace(spec.name, std::move(map));
    }
    return {};
  }

  Status load(int failing_calls) {
    skeleton.reset(telemetry_syscalls_bpf__open());
    if (!skeleton) return fail_errno("open the programs that watch system calls");
    skeleton->rodata->follows_processes = by_process;
    bpf_program__set_autoload(skeleton->progs.watch_fork, by_process);
    bpf_program__set_autoload(skeleton->progs.watch_end, by_process);
    bpf_program__set_autoload(skeleton->progs.relieve_call, relieved);
    bpf_program__set_autoload(skeleton->progs.relieve_return, relieved);
    Status status = use_map(*skeleton->obj, "telemetry_scope", scope.fd());
    if (status && failing_calls >= 0) status = use_map(*skeleton->obj, "failing_calls", failing_calls);
    for (const auto& [name, map] : maps) {
      if (status) status = use_map(*skeleton->obj, std::string(name).c_str(), map.get());
    }
    if (!status) return status;
    if (const int err = telemetry_syscalls_bpf__load(skeleton.get()); err != 0) {
      Error error = fail_errno("load the programs that watch system calls", -err).error();
      error.code = Errc::kUnsupported;
      return std::unexpected(std::move(error));
    }
    return {};
  }

  Status attach(const bpf_program* program) {
    auto link = attach_watch(*program);
    if (!link) return std::unexpected(link.error());
    links.push_back(std::move(*link));
    return {};
  }

  /// True if the process was none before.
  [[nodiscard]] Result<bool> add_process(pid_t pid) const {
    const auto key = static_cast<__u32>(pid);
    const __u32 one = 1;
    if (!start_ticks(pid)) return false;
    if (bpf_map_update_elem(maps.at("watched_processes").get(), &key, &one, BPF_NOEXIST) == 0) {
      // From here on the kernel takes it out when it ends; it may have ended before.
      if (start_ticks(pid)) return true;
      bpf_map_delete_elem(maps.at("watched_processes").get(), &key);
      return false;
    }
    if (errno == EEXIST) return false;
    if (errno != E2BIG && errno != ENOSPC) return fail_errno("note a process");
    return fail(Errc::kRefused, "too many processes are the target", "target",
                "at most " + std::to_string(CHAOS_MAX_PROCESSES));
  }
};

SyscallProbes::SyscallProbes(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SyscallProbes::SyscallProbes(SyscallProbes&&) noexcept = default;
SyscallProbes& SyscallProbes::operator=(SyscallProbes&&) noexcept = default;
SyscallProbes::~SyscallProbes() = default;

Result<SyscallProbes> SyscallProbes::attach(const ProbeIdentity& identity, const Whose& whose) {
  auto impl = std::make_unique<Impl>();
  impl->by_process = whose.cgroups.empty();
  impl->relieved = may_preempt_syscall_tracepoints();
  Status status = impl->make_maps(identity.tag);
  if (status) status = impl->load(identity.failing_calls);
  if (status && identity.watch_calls != nullptr) {
    impl->watch_calls = identity.watch_calls;
    std::atomic_ref(*impl->watch_calls).fetch_add(1);
  }
  if (!status) return std::unexpected(status.error());
  const auto& programs = impl->skeleton->progs;
  // First who is meant, then what they do: a process that is forked meanwhile belongs to it.
  if (impl->by_process) status = impl->attach(programs.watch_fork);
  if (status && impl->by_process) status = impl->attach(programs.watch_end);
  SyscallProbes probes(std::move(impl));
  if (status) status = probes.follow(whose);
  if (status) status = probes.impl_->attach(programs.watch_return);
  if (status && probes.impl_->relieved) status = probes.impl_->attach(programs.relieve_return);
  if (status) status = probes.impl_->attach(programs.watch_call);
  if (status && probes.impl_->relieved) status = probes.impl_->attach(programs.relieve_call);
  if (!status) return std::unexpected(status.error());
  return probes;
}

Status SyscallProbes::follow(const Whose& whose) {
  if (!impl_->by_process) return impl_->scope.narrow_to(whose.cgroups);
  return add_with_descendants(whose.processes, [this](pid_t pid) { return impl_->add_process(pid); });
}

Result<SyscallCounts> SyscallProbes::read() const {
  SyscallCounts counts;
  Status status = read_per_cpu<std::uint32_t, chaos_call_counts>(impl_->maps.at("call_counts").get(), impl_->cpus,
                                                                 [&](std::uint32_t number, const auto& values) {
                                                                   for (const chaos_call_counts& own : values)
                                                                     add(counts.calls[number], own);
                                                                 });
  if (status) {
    status = read_per_cpu<chaos_call_error, __u64>(
        impl_->maps.at("call_errors").get(), impl_->cpus, [&](const chaos_call_error& key, const auto& values) {
          SyscallCounts::Error& error = counts.errors[{key.number, key.error}];
          for (const __u64 own : values) (key.injected != 0 ? error.injected : error.natural) += own;
        });
  }
  if (!status) return std::unexpected(status.error());
  return counts;
}

std::uint64_t SyscallProbes::missed() const {
  const auto& programs = impl_->skeleton->progs;
  if (!impl_->relieved) return missed_runs(*impl_->skeleton->obj);
  // What both have missed is not more than either has.
  const auto of_both = [](const bpf_program* program, const bpf_program* relief) {
    return std::min(missed_runs(*program), missed_runs(*relief));
  };
  return of_both(programs.watch_call, programs.relieve_call) + of_both(programs.watch_return, programs.relieve_return) +
         missed_runs(*programs.watch_fork) + missed_runs(*programs.watch_end);
}

std::vector<std::uint32_t> SyscallProbes::map_ids() const {
  std::vector<std::uint32_t> ids{bpf_map_id(impl_->scope.fd())};
  for (const auto& [name, map] : impl_->maps) ids.push_back(bpf_map_id(map.get()));
  return ids;
}

std::vector<std::uint32_t> SyscallProbes::program_ids() const { return loaded_program_ids(*impl_->skeleton->obj); }

std::vector<std::uint32_t> SyscallProbes::link_ids() const {
  std::vector<std::uint32_t> ids;
  for (const UniqueFd& link : impl_->links) ids.push_back(bpf_link_id(link.get()));
  return ids;
}

SyscallCounts difference(const SyscallCounts& now, const SyscallCounts& before) {
  SyscallCounts out = now;
  for (auto& [number, counts] : out.calls) {
    const auto was = before.calls.find(number);
    if (was == before.calls.end()) continue;
    counts.calls -= was->second.calls;
    counts.errors -= was->second.errors;
    counts.injected -= was->second.injected;
    counts.sum_ns -= was->second.sum_ns;
    for (unsigned i = 0; i < CHAOS_LATENCY_BUCKETS; ++i) counts.latency[i] -= was->second.latency[i];
  }
  for (auto& [what, error] : out.errors) {
    const auto was = before.errors.find(what);
    if (was == before.errors.end()) continue;
    error.natural -= was->second.natural;
    error.injected -= was->second.injected;
  }
  return out;
}

std::string syscall_name(std::uint32_t number) {
  if (number == CHAOS_OTHER_SYSCALLS) return "32-bit";
  const auto* found = std::ranges::find(kNames, number, &Name::number);
  return found != std::end(kNames) ? std::string(found->name) : "syscall_" + std::to_string(number);
}

}  // namespace chaos
