#include "support/counting_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <stdexcept>

namespace chaos::test {

CountingProgram::CountingProgram(const std::vector<Field>& conditions) {
  map_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, "others_count", 4, 8, 1, nullptr));
  const bpf_insn count[]{
      {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_VALUE, 0, map_.get()},
      {0, 0, 0, 0, 0},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 1},
      {BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_1, BPF_REG_2, 0, BPF_ADD},
  };
  const bpf_insn pass_on[]{
      {BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  std::vector<bpf_insn> code;
  std::size_t left = conditions.size();
  for (const Field& field : conditions) {
    // Past the other conditions, of two instructions each, and the counting.
    const auto to_end = static_cast<std::int16_t>(--left * 2 + std::size(count));
    const auto leave = static_cast<std::uint8_t>(BPF_JMP32 | BPF_K | (field.equal ? BPF_JNE : BPF_JEQ));
    code.push_back({BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, static_cast<std::int16_t>(field.offset), 0});
    code.push_back({leave, BPF_REG_2, 0, to_end, field.value});
  }
  code.insert(code.end(), std::begin(count), std::end(count));
  code.insert(code.end(), std::begin(pass_on), std::end(pass_on));
  program_.reset(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "others_prog", "GPL", code.data(), code.size(), nullptr));
  if (!program_.valid()) throw std::runtime_error("load counting program");
}

void CountingProgram::attach_classic(const char* device, Side side, std::uint32_t priority) const {
  bpf_tc_hook hook;
  std::memset(&hook, 0, sizeof(hook));  // libbpf wants the padding to be zero as well
  hook.sz = sizeof(hook);
  hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
  hook.ifindex = static_cast<int>(if_nametoindex(device));
  if (const int err = bpf_tc_hook_create(&hook); err != 0 && err != -EEXIST) {
    throw std::runtime_error("make the clsact qdisc");
  }
  hook.attach_point = side == Side::kEgress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
  bpf_tc_opts opts;
  std::memset(&opts, 0, sizeof(opts));
  opts.sz = sizeof(opts);
  opts.prog_fd = program_.get();
  opts.handle = 1;
  opts.priority = priority;
  if (bpf_tc_attach(&hook, &opts) != 0) throw std::runtime_error("attach counting program");
}

std::uint64_t CountingProgram::count() const {
  const std::uint32_t key = 0;
  std::uint64_t value = 0;
  bpf_map_lookup_elem(map_.get(), &key, &value);
  return value;
}

}  // namespace chaos::test
