#include "kernel/syscall_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <syscall_cgroup.skel.h>
#include <syscall_end.skel.h>
#include <syscall_entry.skel.h>
#include <syscall_security.skel.h>

#include <cstring>
#include <map>
#include <set>
#include <string>

#include "kernel/bpf_compat.h"
#include "kernel/cgroup.h"

namespace chaos {
namespace {

/// What is detached from a trampoline is let go behind a grace period of tasks, which takes its time.
constexpr std::chrono::milliseconds kFreePatience{3000};

struct ObjectDeleter {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Object = std::unique_ptr<bpf_object, ObjectDeleter>;

/// The skeletons' data as an object of its own: programs of one that are not asked for are not loaded.
Result<Object> open_object(const void* data, std::size_t size, const SharedMaps& shared, const SyscallMaps& maps) {
  Object object(bpf_object__open_mem(data, size, nullptr));
  if (!object) return fail_errno("open the programs that fail calls");
  if (Status status = shared.share_with(*object, maps.fds()); !status) return std::unexpected(status.error());
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) bpf_program__set_autoload(program, false);
  return object;
}

template <class Elf>
Result<Object> open_object(Elf elf, const SharedMaps& shared, const SyscallMaps& maps) {
  std::size_t size = 0;
  const void* data = elf(&size);
  return open_object(data, size, shared, maps);
}

Status load_object(bpf_object& object) {
  const int err = bpf_object__load(&object);
  return err == 0 ? Status() : fail_errno("load the programs that fail calls", -err);
}

void mean(chaos_syscall_rule& rule, chaos_syscall_hook hook, const SyscallInfo& call) {
  rule.numbers[hook][call.number / 64] |= 1ULL << (call.number % 64);
}

}  // namespace

struct SyscallPrograms::Impl {
  const SharedMaps& shared;
  const SyscallMaps& maps;
  std::vector<Object> objects;
  std::vector<UniqueFd> programs;  ///< beside those of the objects
  std::vector<UniqueFd> links;
  std::vector<std::unique_ptr<bpf_link, LinkDeleter>> probes;
  std::vector<int> attached;  ///< programs, by descriptors that others own
  std::vector<std::uint32_t> link_ids;
  std::vector<std::uint32_t> program_ids;

  ~Impl() {
    links.clear();
    probes.clear();
    programs.clear();
    objects.clear();
    for (const std::uint32_t id : program_ids) (void)wait_for_program_end(id, kFreePatience);
  }

  void note(int program_fd, int link_fd) {
    attached.push_back(program_fd);
    program_ids.push_back(bpf_program_id(program_fd));
    link_ids.push_back(bpf_link_id(link_fd));
  }

  Status attach_to_function(int program_fd, const std::string& function) {
    UniqueFd link(bpf_raw_tracepoint_open(nullptr, program_fd));
    if (!link.valid()) return fail_errno("attach to " + function);
    note(program_fd, link.get());
    links.push_back(std::move(link));
    return {};
  }

  Status attach_end();
  Status attach_entries(const std::vector<const SyscallInfo*>& calls);
  Status attach_overrides(const std::vector<const SyscallInfo*>& calls);
  Status attach_security(const std::vector<const SyscallInfo*>& calls);
  Status attach_cgroup(const std::vector<const SyscallInfo*>& calls);
};

/// What silences all the others when this process has ended.
Status SyscallPrograms::Impl::attach_end() {
  auto object = open_object(syscall_end_bpf__elf_bytes, shared, maps);
  if (!object) return std::unexpected(object.error());
  bpf_program* program = bpf_object__next_program(object->get(), nullptr);
  bpf_program__set_autoload(program, true);
  if (Status status = load_object(**object); !status) return status;
  if (Status status = attach_to_function(bpf_program__fd(program), "sched_process_exit"); !status) return status;
  objects.push_back(std::move(*object));
  return {};
}

/// One program, loaded once for each call: what differs is the function that it is for.
Status SyscallPrograms::Impl::attach_entries(const std::vector<const SyscallInfo*>& calls) {
  auto object = open_object(syscall_entry_bpf__elf_bytes, shared, maps);
  if (!object) return std::unexpected(object.error());
  bpf_program* program = bpf_object__find_program_by_name(object->get(), "fail_entry");
  bpf_program__set_autoload(program, true);
  if (const int err = bpf_program__set_attach_target(program, 0, function_of(*calls.front()).c_str()); err != 0) {
    return fail_errno("find " + function_of(*calls.front()), -err);
  }
  if (Status status = load_object(**object); !status) return status;
  for (const SyscallInfo* call : calls) {
    const std::string function = function_of(*call);
    int fd = bpf_program__fd(program);
    if (call != calls.front()) {
      LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_MODIFY_RETURN,
                  .attach_btf_id = SyscallLadder::here().function(function));
      UniqueFd copy(bpf_prog_load(BPF_PROG_TYPE_TRACING, "fail_entry", "Dual MIT/GPL", bpf_program__insns(program),
                                  bpf_program__insn_cnt(program), &opts));
      if (!copy.valid()) return fail_errno("load the program for " + function);
      fd = copy.get();
      programs.push_back(std::move(copy));
    }
    if (Status status = attach_to_function(fd, function); !status) return status;
    mean(maps.rule(), CHAOS_HOOK_ENTRY, *call);
  }
  objects.push_back(std::move(*object));
  return {};
}

Status SyscallPrograms::Impl::attach_overrides(const std::vector<const SyscallInfo*>& calls) {
  auto object = open_object(syscall_entry_bpf__elf_bytes, shared, maps);
  if (!object) return std::unexpected(object.error());
  bpf_program* program = bpf_object__find_program_by_name(object->get(), "override_entry");
  bpf_program__set_autoload(program, true);
  if (Status status = load_object(**object); !status) return status;
  for (const SyscallInfo* call : calls) {
    const std::string function = function_of(*call);
    std::unique_ptr<bpf_link, LinkDeleter> link(bpf_program__attach_kprobe(program, false, function.c_str()));
    if (!link) return fail_errno("attach to " + function);
    note(bpf_program__fd(program), bpf_link__fd(link.get()));
    probes.push_back(std::move(link));
    mean(maps.rule(), CHAOS_HOOK_ENTRY, *call);
  }
  objects.push_back(std::move(*object));
  return {};
}

Status SyscallPrograms::Impl::attach_security(const std::vector<const SyscallInfo*>& calls) {
  const MechanismState& state = SyscallLadder::here().state(SyscallMechanism::kSecurity);
  const bool path = maps.rule().path_form != 0;
  std::set<chaos_syscall_hook> wanted;
  for (const SyscallInfo* call : calls) {
    for (const chaos_syscall_hook hook : call->security) {
      if (SyscallLadder::here().function(function_of(hook)) == 0) continue;
      wanted.insert(hook);
      mean(maps.rule(), hook, *call);
    }
  }
  auto object = open_object(syscall_security_bpf__elf_bytes, shared, maps);
  if (!object) return std::unexpected(object.error());
  std::vector<std::pair<bpf_program*, std::string>> chosen;
  for (const chaos_syscall_hook hook : wanted) {
    const bool by_lsm = state.takes_lsm(hook, path);
    std::string name = "fail_" + std::string(to_string(hook));
    if (by_lsm && hook == CHAOS_HOOK_FILE_PERMISSION) name += "_plain";
    const std::string function = function_of(hook);
    bpf_program* program = bpf_object__find_program_by_name(object->get(), name.c_str());
    bpf_program__set_autoload(program, true);
    chosen.emplace_back(program, function);
    if (by_lsm) continue;
    bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
    bpf_program__set_expected_attach_type(program, BPF_MODIFY_RETURN);
    if (const int err = bpf_program__set_attach_target(program, 0, function.c_str()); err != 0) {
      return fail_errno("find " + function, -err);
    }
  }
  if (Status status = load_object(**object); !status) return status;
  for (const auto& [program, function] : chosen) {
    if (Status status = attach_to_function(bpf_program__fd(program), function); !status) return status;
  }
  objects.push_back(std::move(*object));
  return {};
}

/// At the root: it is the caller that is meant, and not who made the socket.
Status SyscallPrograms::Impl::attach_cgroup(const std::vector<const SyscallInfo*>& calls) {
  static const std::map<chaos_syscall_hook, std::vector<const char*>> kPrograms{
      {CHAOS_HOOK_CONNECT, {"fail_connect4", "fail_connect6"}},
      {CHAOS_HOOK_BIND, {"fail_bind4", "fail_bind6"}},
      {CHAOS_HOOK_SENDMSG, {"fail_sendmsg4", "fail_sendmsg6"}},
      {CHAOS_HOOK_SOCK_CREATE, {"fail_socket"}},
      {CHAOS_HOOK_SETSOCKOPT, {"fail_setsockopt"}},
      {CHAOS_HOOK_GETSOCKOPT, {"fail_getsockopt"}},
  };
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  const auto root = tree->open_root();
  if (!root) return std::unexpected(root.error());
  auto object = open_object(syscall_cgroup_bpf__elf_bytes, shared, maps);
  if (!object) return std::unexpected(object.error());
  std::set<chaos_syscall_hook> wanted;
  for (const SyscallInfo* call : calls) {
    for (const chaos_syscall_hook hook : call->cgroup) {
      wanted.insert(hook);
      mean(maps.rule(), hook, *call);
    }
  }
  std::vector<bpf_program*> chosen;
  for (const chaos_syscall_hook hook : wanted) {
    for (const char* name : kPrograms.at(hook)) {
      chosen.push_back(bpf_object__find_program_by_name(object->get(), name));
      bpf_program__set_autoload(chosen.back(), true);
    }
  }
  if (Status status = load_object(**object); !status) return status;
  for (const bpf_program* program : chosen) {
    auto link = cgroup_link_create(bpf_program__fd(program), root->get(), bpf_program__expected_attach_type(program));
    if (!link) return std::unexpected(link.error());
    note(bpf_program__fd(program), link->get());
    links.push_back(std::move(*link));
  }
  objects.push_back(std::move(*object));
  return {};
}

SyscallPrograms::SyscallPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SyscallPrograms::SyscallPrograms(SyscallPrograms&&) noexcept = default;
SyscallPrograms& SyscallPrograms::operator=(SyscallPrograms&&) noexcept = default;
SyscallPrograms::~SyscallPrograms() = default;

Result<SyscallPrograms> SyscallPrograms::attach(const SharedMaps& shared, const SyscallMaps& maps,
                                                std::span<const MeantSyscall> meant) {
  std::unique_ptr<Impl> impl(new Impl{shared, maps, {}, {}, {}, {}, {}, {}, {}});
  std::map<SyscallMechanism, std::vector<const SyscallInfo*>> calls;
  for (const MeantSyscall& one : meant) calls[one.mechanism].push_back(one.call);
  Status status = impl->attach_end();
  for (const auto& [mechanism, some] : calls) {
    if (!status) break;
    switch (mechanism) {
      case SyscallMechanism::kEntry:
        status = impl->attach_entries(some);
        break;
      case SyscallMechanism::kOverride:
        status = impl->attach_overrides(some);
        break;
      case SyscallMechanism::kSecurity:
        status = impl->attach_security(some);
        break;
      case SyscallMechanism::kCgroup:
        status = impl->attach_cgroup(some);
        break;
      case SyscallMechanism::kWaitSecurity:
      case SyscallMechanism::kWaitEntry:
        status = fail(Errc::kInternal, "these programs do not wait");
        break;
    }
  }
  if (!status) return std::unexpected(status.error());
  return SyscallPrograms(std::move(impl));
}

std::uint64_t SyscallPrograms::missed() const {
  std::uint64_t sum = 0;
  for (const int fd : impl_->attached) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &length) == 0) sum += info.recursion_misses;
  }
  return sum;
}

const std::vector<std::uint32_t>& SyscallPrograms::link_ids() const { return impl_->link_ids; }
const std::vector<std::uint32_t>& SyscallPrograms::program_ids() const { return impl_->program_ids; }

}  // namespace chaos
