#include "bench/own_engine.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>

#include "fault/registry.h"
#include "plan/parameters.h"
#include "plan/planner.h"

namespace chaos::bench {

OwnEngine::OwnEngine() : engine_(value_of(PacketEngine::create("bench" + std::to_string(getpid())))) {
  engine_->control().lease_until_ns = std::numeric_limits<std::uint64_t>::max();
  engine_->rearm();
}

unsigned OwnEngine::lose(const TargetKeys& target, const std::string& probability) {
  ScenarioRequest request;
  request.kind = "packet_loss";
  request.target = target;
  request.parameters = {{"probability", probability}};
  request.seed = ++seed_;
  request.duration = std::chrono::hours(1);
  const FaultKind& kind = *value_of(find_kind(request.kind));
  const Plan plan = value_of(make_plan(kind.spec, request, {}));
  chaos_fault fault{};
  fault.seed = *plan.request.seed;
  fault.threshold = value_of(get_probability(plan.parameters, "probability")).threshold32();
  const unsigned index = value_of(engine_->prepare(plan, fault));
  check(engine_->arm(index, *plan.request.duration));
  return index;
}

UniqueFd load_empty_program() {
  const std::array<bpf_insn, 2> code{
      {{BPF_ALU | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  UniqueFd program(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "bench_empty", "Dual MIT/GPL", code.data(), code.size(), nullptr));
  if (!program.valid()) throw std::runtime_error(std::string("load the empty program: ") + std::strerror(errno));
  return program;
}

Counters OwnEngine::end(unsigned fault) { return engine_->release(fault); }

}  // namespace chaos::bench
