#include "kernel/wait_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <syscall_wait.skel.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "kernel/bpf_compat.h"
#include "kernel/wait_ladder.h"

namespace chaos {
namespace {

/// What is detached from a trampoline is let go behind a grace period of tasks, and those that sleep in programs hold
/// that up.
constexpr std::chrono::milliseconds kFreePatience{8000};

struct ObjectDeleter {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, ObjectDeleter>;

void mean(chaos_syscall_rule& rule, chaos_syscall_hook hook, const SyscallInfo& call) {
  rule.numbers[hook][call.number / 64] |= 1ULL << (call.number % 64);
}

}  // namespace

struct WaitPrograms::Impl {
  const SharedMaps& shared;
  const SyscallMaps& maps;
  const WaitMaps& waits;
  std::vector<Object> objects;
  std::vector<UniqueFd> programs;  ///< beside those of the objects
  std::vector<UniqueFd> links;
  std::vector<std::uint32_t> link_ids;
  std::vector<std::uint32_t> program_ids;

  ~Impl() {
    links.clear();
    programs.clear();
    objects.clear();
    for (const std::uint32_t id : program_ids) (void)wait_for_program_end(id, kFreePatience);
  }

  Result<Object> open_object();
  Status attach_to(int program_fd, const std::string& function);
  Status attach_copy(const bpf_program& program, bpf_attach_type attach, std::uint32_t flags, const SyscallInfo& call);
  Status attach_security(const std::vector<const SyscallInfo*>& calls);
  Status attach_entries(const std::vector<const SyscallInfo*>& calls);
};

Result<Object> WaitPrograms::Impl::open_object() {
  std::size_t size = 0;
  const void* data = syscall_wait_bpf__elf_bytes(&size);
  Object object(bpf_object__open_mem(data, size, nullptr));
  if (!object) return fail_errno("open the programs that wait");
  std::map<std::string_view, int> fds = maps.fds();
  fds.merge(waits.fds());
  if (Status status = shared.share_with(*object, fds); !status) return std::unexpected(status.error());
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) bpf_program__set_autoload(program, false);
  return object;
}

Status WaitPrograms::Impl::attach_to(int program_fd, const std::string& function) {
  UniqueFd link(bpf_raw_tracepoint_open(nullptr, program_fd));
  if (!link.valid()) return fail_errno("attach to " + function);
  program_ids.push_back(bpf_program_id(program_fd));
  link_ids.push_back(bpf_link_id(link.get()));
  links.push_back(std::move(link));
  return {};
}

Status WaitPrograms::Impl::attach_security(const std::vector<const SyscallInfo*>& calls) {
  std::set<chaos_syscall_hook> wanted;
  for (const SyscallInfo* call : calls) {
    for (const chaos_syscall_hook hook : WaitLadder::here().hooks_of(*call)) {
      wanted.insert(hook);
      mean(maps.rule(), hook, *call);
    }
  }
  auto object = open_object();
  if (!object) return std::unexpected(object.error());
  std::vector<std::pair<const bpf_program*, std::string>> chosen;
  for (const chaos_syscall_hook hook : wanted) {
    const std::string name = "wait_" + std::string(to_string(hook));
    bpf_program* program = bpf_object__find_program_by_name(object->get(), name.c_str());
    if (program == nullptr) return fail(Errc::kInternal, "there is no program " + name);
    bpf_program__set_autoload(program, true);
    chosen.emplace_back(program, function_of(hook));
  }
  if (const int err = bpf_object__load(object->get()); err != 0) return fail_errno("load the programs that wait", -err);
  for (const auto& [program, function] : chosen) {
    if (Status status = attach_to(bpf_program__fd(program), function); !status) return status;
  }
  objects.push_back(std::move(*object));
  return {};
}

/// Loads what `program` is made of once more, for this call's function.
Status WaitPrograms::Impl::attach_copy(const bpf_program& program, bpf_attach_type attach, std::uint32_t flags,
                                       const SyscallInfo& call) {
  const std::string function = function_of(call);
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach, .prog_flags = flags,
              .attach_btf_id = SyscallLadder::here().function(function));
  UniqueFd copy(bpf_prog_load(BPF_PROG_TYPE_TRACING, bpf_program__name(&program), "Dual MIT/GPL",
                              bpf_program__insns(&program), bpf_program__insn_cnt(&program), &opts));
  if (!copy.valid()) return fail_errno("load the program for " + function);
  if (Status status = attach_to(copy.get(), function); !status) return status;
  programs.push_back(std::move(copy));
  return {};
}

/// The kernel runs what was attached last first: hlist_add_head() in __bpf_trampoline_link_prog(),
/// kernel/bpf/trampoline.c.
Status WaitPrograms::Impl::attach_entries(const std::vector<const SyscallInfo*>& calls) {
  auto object = open_object();
  if (!object) return std::unexpected(object.error());
  const auto take = [&](const char* name) {
    bpf_program* program = bpf_object__find_program_by_name(object->get(), name);
    bpf_program__set_autoload(program, true);
    (void)bpf_program__set_attach_target(program, 0, function_of(*calls.front()).c_str());
    return program;
  };
  const bpf_program* decide = take("wait_decide");
  const bpf_program* wait = take("wait_entry");
  const bpf_program* turn_away = take("wait_turn_away");
  if (const int err = bpf_object__load(object->get()); err != 0) return fail_errno("load the programs that wait", -err);
  for (const bpf_program* program : {decide, wait, turn_away}) {
    program_ids.push_back(bpf_program_id(bpf_program__fd(program)));
  }
  const unsigned copies = copies_for(waits.waiting().limit, static_cast<unsigned>(libbpf_num_possible_cpus()));
  for (const SyscallInfo* call : calls) {
    Status status = attach_copy(*turn_away, BPF_MODIFY_RETURN, 0, *call);
    for (unsigned i = 0; i < copies && status; ++i) {
      status = attach_copy(*wait, BPF_MODIFY_RETURN, BPF_F_SLEEPABLE, *call);
    }
    if (status) status = attach_copy(*decide, BPF_MODIFY_RETURN, 0, *call);
    if (!status) return status;
    mean(maps.rule(), CHAOS_HOOK_ENTRY, *call);
  }
  objects.push_back(std::move(*object));
  return {};
}

WaitPrograms::WaitPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WaitPrograms::WaitPrograms(WaitPrograms&&) noexcept = default;
WaitPrograms& WaitPrograms::operator=(WaitPrograms&&) noexcept = default;
WaitPrograms::~WaitPrograms() = default;

Result<WaitPrograms> WaitPrograms::attach(const SharedMaps& shared, const SyscallMaps& maps, const WaitMaps& waits,
                                          std::span<const MeantSyscall> meant) {
  std::unique_ptr<Impl> impl(new Impl{shared, maps, waits, {}, {}, {}, {}, {}});
  std::vector<const SyscallInfo*> at_hooks;
  std::vector<const SyscallInfo*> at_entries;
  for (const MeantSyscall& one : meant) {
    (one.mechanism == SyscallMechanism::kWaitSecurity ? at_hooks : at_entries).push_back(one.call);
  }
  Status status;
  if (!at_hooks.empty()) status = impl->attach_security(at_hooks);
  if (status && !at_entries.empty()) status = impl->attach_entries(at_entries);
  if (!status) return std::unexpected(status.error());
  return WaitPrograms(std::move(impl));
}

const std::vector<std::uint32_t>& WaitPrograms::link_ids() const { return impl_->link_ids; }
const std::vector<std::uint32_t>& WaitPrograms::program_ids() const { return impl_->program_ids; }

unsigned copies_for(unsigned waits, unsigned cpus) {
  const unsigned each = cpus == 0 ? waits : (waits + cpus - 1) / cpus;
  // Callers are never spread evenly over CPUs.
  return std::clamp(2 * each, 2U, static_cast<unsigned>(CHAOS_WAIT_COPIES));
}

}  // namespace chaos
