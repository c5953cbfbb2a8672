#include "tests/kernel/residue_plants.h"

#include <bpf/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "kernel/features.h"
#include "safety/bpf_uapi.h"
#include "tests/support/shell.h"

namespace chaos::test {
namespace {

template <class Info>
Info info_of(const UniqueFd& fd) {
  Info info{};
  __u32 size = sizeof info;
  bpf_obj_get_info_by_fd(fd.get(), &info, &size);
  return info;
}

// r0 = -1: TCX_NEXT and TC_ACT_UNSPEC alike
constexpr bpf_insn kResultPassOn = {
    .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1};
constexpr bpf_insn kExit = {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};

}  // namespace

Status enter_own_namespaces(const std::filesystem::path& bpffs) {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) return fail_errno("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("make mounts private");
  std::filesystem::create_directories(bpffs);
  if (::mount("bpf", bpffs.c_str(), "bpf", 0, nullptr) != 0) return fail_errno("mount bpffs");
  return {};
}

Status make_named_namespace(const std::filesystem::path& file, const std::vector<std::string>& commands) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file).flush();
  Status status;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      status = fail_errno("unshare");
      return;
    }
    if (::mount("/proc/thread-self/ns/net", file.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      status = fail_errno("bind " + file.string());
      return;
    }
    for (const std::string& command : commands) {
      if (status) status = run(command);
    }
  }).join();
  return status;
}

Result<UniqueFd> plant_map(const std::string& name) {
  UniqueFd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name.c_str(), 4, 4, 1, nullptr));
  if (!fd.valid()) return fail_errno("create map " + name);
  return fd;
}

Result<UniqueFd> plant_program(const std::string& name, int map_fd) {
  std::vector<bpf_insn> code;
  if (map_fd >= 0) {
    code.push_back(
        {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .off = 0, .imm = map_fd});
    code.push_back({});
  }
  code.push_back(kResultPassOn);
  code.push_back(kExit);
  UniqueFd fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name.c_str(), "GPL", code.data(), code.size(), nullptr));
  if (!fd.valid()) return fail_errno("load program " + name);
  return fd;
}

Result<PlantedLink> plant_link(int program, const std::string& name, const char* interface) {
  const int index = static_cast<int>(::if_nametoindex(interface));
  PlantedLink planted;
  if (has_tcx()) {
    planted.link.reset(bpf_link_create(program, index, static_cast<bpf_attach_type>(bpf_uapi::kTcxIngress), nullptr));
  } else {
    const bpf_insn code[]{{BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, kExit};
    planted.program.reset(bpf_prog_load(BPF_PROG_TYPE_XDP, name.c_str(), "GPL", code, std::size(code), nullptr));
    if (!planted.program.valid()) return fail_errno("load program " + name);
    planted.link.reset(bpf_link_create(planted.program.get(), index, BPF_XDP, nullptr));
  }
  if (!planted.link.valid()) return fail_errno("link on " + std::string(interface));
  return planted;
}

Status plant_tcx_attachment(int program, const char* interface) {
  const int index = static_cast<int>(::if_nametoindex(interface));
  if (bpf_prog_attach(program, index, static_cast<bpf_attach_type>(bpf_uapi::kTcxEgress), 0) != 0) {
    return fail_errno("tcx attachment");
  }
  return {};
}

std::uint32_t map_id(const UniqueFd& fd) { return info_of<bpf_map_info>(fd).id; }
std::uint32_t program_id(const UniqueFd& fd) { return info_of<bpf_prog_info>(fd).id; }
std::uint32_t link_id(const UniqueFd& fd) { return info_of<bpf_uapi::LinkInfo>(fd).id; }

PlantedCgroup::PlantedCgroup(const std::string& name) {
  const std::filesystem::path hybrid = "/sys/fs/cgroup/unified";
  path_ = (std::filesystem::exists(hybrid) ? hybrid : hybrid.parent_path()) / name;
  std::filesystem::create_directory(path_);
}

PlantedCgroup::~PlantedCgroup() { ::rmdir(path_.c_str()); }

}  // namespace chaos::test
