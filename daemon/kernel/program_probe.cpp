#include "kernel/program_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/proc_tree.h"

namespace chaos::probe {
namespace {

constexpr std::array<bpf_insn, 2> kReturnZero{{
    {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
    {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
}};

}  // namespace

int try_code(bpf_prog_type type, bpf_attach_type attach, unsigned function, std::span<const bpf_insn> code,
             std::uint32_t flags, bool attach_too) {
  if (function == 0) return ENOENT;
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach, .prog_flags = flags, .attach_btf_id = function);
  const UniqueFd program(bpf_prog_load(type, kName, "GPL", code.data(), code.size(), &opts));
  if (!program.valid()) return errno;
  if (!attach_too) return 0;
  const UniqueFd link(bpf_raw_tracepoint_open(nullptr, program.get()));
  return link.valid() ? 0 : errno;
}

int try_function(bpf_prog_type type, bpf_attach_type attach, unsigned function, std::uint32_t flags, bool attach_too) {
  return try_code(type, attach, function, kReturnZero, flags, attach_too);
}

bool is_lsm_active() {
  const auto list = proc::read_record("/sys/kernel/security/lsm");
  if (!list) return false;
  const std::string text = "," + list->substr(0, list->find('\n')) + ",";
  return text.contains(",bpf,");
}

std::string why(int err, std::string_view lacking) {
  if (err == EPERM || err == EACCES) return "this host refuses it (" + errno_name(err) + ")";
  return "the kernel lacks " + std::string(lacking) + " (" + errno_name(err) + ")";
}

}  // namespace chaos::probe
