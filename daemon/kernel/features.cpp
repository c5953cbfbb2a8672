#include "kernel/features.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <ranges>
#include <thread>

#include "base/unique_fd.h"
#include "kernel/bpf_compat.h"
#include "kernel/syscall_ladder.h"
#include "kernel/wait_ladder.h"
#include "kernel/watch_features.h"

namespace chaos {
namespace {

constexpr std::array<bpf_insn, 2> kReturnZero{{
    {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
    {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
}};
constexpr std::array<bpf_insn, 2> kReturnOne{{
    {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1},
    {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
}};

Feature result(std::string name, int err, std::string used_instead = {}) {
  Feature feature{std::move(name), err == 0, {}, {}};
  if (err == 0) return feature;
  feature.reason = fail_errno("refused by this kernel", err).error().message;
  feature.used_instead = std::move(used_instead);
  return feature;
}

/// 0, or the errno with which the kernel refuses a trivial program of this type.
int try_load(bpf_prog_type type, bpf_attach_type attach, const std::array<bpf_insn, 2>& code = kReturnZero) {
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
  const UniqueFd program(bpf_prog_load(type, "chaos_probe", "GPL", code.data(), code.size(), &opts));
  return program.valid() ? 0 : errno;
}

/// Trampoline programs: EPERM shows at attach on some hosts, so attach as well (no effect: returns 0, then detached).
int try_trampoline(bpf_attach_type attach, const char* function) {
  const int id = libbpf_find_vmlinux_btf_id(function, attach);
  if (id <= 0) return ENOENT;
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach,
              .attach_btf_id = static_cast<std::uint32_t>(id));
  const auto type = attach == BPF_LSM_MAC ? BPF_PROG_TYPE_LSM : BPF_PROG_TYPE_TRACING;
  const UniqueFd program(bpf_prog_load(type, "chaos_probe", "GPL", kReturnZero.data(), kReturnZero.size(), &opts));
  if (!program.valid()) return errno;
  const UniqueFd link(bpf_raw_tracepoint_open(nullptr, program.get()));
  return link.valid() ? 0 : errno;
}

int try_map(bpf_map_type type, std::uint32_t key, std::uint32_t value, std::uint32_t entries, std::uint32_t flags) {
  LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
  const UniqueFd map(bpf_map_create(type, "chaos_probe", key, value, entries, &opts));
  return map.valid() ? 0 : errno;
}

/// In a new, empty network namespace, so that no device of the host is touched.
int try_tcx() {
  int err = 0;
  std::thread([&err] {
    if (unshare(CLONE_NEWNET) != 0) {
      err = errno;
      return;
    }
    const UniqueFd program(
        bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "chaos_probe", "GPL", kReturnZero.data(), kReturnZero.size(), nullptr));
    if (!program.valid()) {
      err = errno;
      return;
    }
    constexpr unsigned kLoopback = 1;
    if (auto link = tcx_link_create(program.get(), kLoopback, true); !link) {
      err = link.error().sys_errno != 0 ? link.error().sys_errno : EINVAL;
    }
  }).join();
  return err;
}

int try_open(const char* device) {
  const UniqueFd fd(::open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  return fd.valid() ? 0 : errno;
}

std::string read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// Bit `capability` of CapEff in /proc/self/status.
bool has_capability(int capability) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("CapEff:")) return ((std::stoull(line.substr(7), nullptr, 16) >> capability) & 1) != 0;
  }
  return false;
}

/// By what system calls can be failed; instead of one that is missing, what comes behind it on the ladder.
void add_syscall_mechanisms(std::vector<Feature>& features) {
  std::string next;
  std::vector<Feature> found;
  for (const MechanismState& state : std::views::reverse(SyscallLadder::here().states())) {
    found.push_back({state.feature, state.available, state.reason, state.available ? "" : next});
    if (state.available) next = state.feature;
  }
  std::ranges::reverse_copy(found, std::back_inserter(features));
}

}  // namespace

std::string kernel_release() {
  utsname name{};
  return uname(&name) == 0 ? name.release : "unknown";
}

bool has_tcx() { return try_tcx() == 0; }

std::vector<Feature> probe_features() {
  std::vector<Feature> features;
  features.push_back(result("btf", access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? 0 : errno));
  features.push_back(result("tc", try_load(BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{})));
  features.push_back(result("tcx", try_tcx(), "clsact (classic tc), undone by the guardian"));
  features.push_back(result("xdp", try_load(BPF_PROG_TYPE_XDP, bpf_attach_type{})));
  features.push_back(result("cgroup_skb", try_load(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS, kReturnOne)));
  features.push_back(
      result("cgroup_sock_addr", try_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, kReturnOne)));
  features.push_back(result("tracepoint", try_load(BPF_PROG_TYPE_TRACEPOINT, bpf_attach_type{})));
  features.push_back(result("raw_tracepoint", try_load(BPF_PROG_TYPE_RAW_TRACEPOINT, bpf_attach_type{})));
  features.push_back(result("ring_buffer", try_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0)));
  features.push_back(result("mmapable_array", try_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE)));
  features.push_back(result("fentry", try_trampoline(BPF_TRACE_FENTRY, "security_file_open"), "tracepoints"));
  features.push_back(result("fmod_ret_security", try_trampoline(BPF_MODIFY_RETURN, "security_file_open")));
  features.push_back(result("lsm", try_trampoline(BPF_LSM_MAC, "file_open")));
  add_syscall_mechanisms(features);
  for (const MechanismState& state : WaitLadder::here().states()) {
    features.push_back({state.feature, state.available, state.reason, {}});
  }
  std::ranges::move(probe_watches(), std::back_inserter(features));
  features.push_back(result("tap", try_open("/dev/net/tun")));
  features.push_back(result("fuse", try_open("/dev/fuse")));
  return features;
}

std::vector<std::string> preflight_problems() {
  std::vector<std::string> problems;
  struct Needed {
    int capability;
    const char* name;
    const char* why;
  };
  constexpr std::array kNeeded{
      Needed{CAP_BPF, "CAP_BPF", "to load programs"},
      Needed{CAP_PERFMON, "CAP_PERFMON", "for programs that the verifier lets use pointers"},
      Needed{CAP_NET_ADMIN, "CAP_NET_ADMIN", "to attach to network interfaces"},
      Needed{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "to enter network namespaces and look at BPF objects by id"},
  };
  for (const Needed& needed : kNeeded) {
    if (has_capability(needed.capability)) continue;
    problems.push_back(std::string("no ") + needed.name + " (" + needed.why + "): run as root or grant it in the unit");
  }
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    problems.emplace_back("no BTF at /sys/kernel/btf/vmlinux: needs a kernel with CONFIG_DEBUG_INFO_BTF");
  }
  if (const int err = try_load(BPF_PROG_TYPE_SCHED_CLS, bpf_attach_type{}); err != 0 && has_capability(CAP_BPF)) {
    std::string lockdown = read_line("/sys/kernel/security/lockdown");
    problems.push_back("this kernel refuses tc programs: " + errno_name(err) +
                       (lockdown.contains("[confidentiality]") ? " (lockdown is confidentiality)" : ""));
  }
  return problems;
}

}  // namespace chaos
