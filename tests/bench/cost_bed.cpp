#include "bench/cost_bed.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "base/instance.h"
#include "bench/own_engine.h"

namespace chaos::bench {
namespace {

constexpr std::uint16_t kSparePorts = 50000;  ///< no frame goes there
constexpr unsigned kSshPort = 22;

std::string tag() { return instance_tag("bench" + std::to_string(getpid())); }

double test_run(int program, const std::vector<std::uint8_t>& frame, std::uint32_t cb_word, std::uint32_t repeat) {
  __sk_buff context{};
  context.cb[CHAOS_CB_WORD] = cb_word;
  LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
              .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = static_cast<int>(repeat));
  if (bpf_prog_test_run_opts(program, &opts) != 0) {
    throw std::runtime_error(std::string("BPF_PROG_TEST_RUN: ") + std::strerror(errno));
  }
  return static_cast<double>(opts.duration);
}

}  // namespace

CostBed::CostBed(const std::vector<CostCase>& cases)
    : maps_(value_of(SharedMaps::create(tag()))),
      programs_(value_of(PacketPrograms::load(maps_, tag()))),
      classifier_(maps_),
      empty_{load_empty_program(), load_empty_program()} {
  maps_.control().lease_until_ns = std::numeric_limits<std::uint64_t>::max();
  maps_.write_protected_ports(SharedMaps::PortSet().set(kSshPort), {});
  for (const CostCase& one : cases) {
    const auto slot = static_cast<unsigned>(cases_.size());
    maps_.slot(slot).l2_len = 14;
    for (const CostFault& fault : one.faults) classifier_.add_to_slot(add_fault(fault), slot, CHAOS_EGRESS);
    const unsigned deciding = one.faults.empty() ? 0 : used_ - 1;
    cases_.push_back(
        {one.name, one.outcome, make_frame(one.frame), deciding, value_of(programs_.make_entry(slot, CHAOS_EGRESS))});
  }
  fill_up();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!cases[i].all_on_slot) continue;
    maps_.slot(static_cast<unsigned>(i)).faults[CHAOS_EGRESS] = std::numeric_limits<std::uint64_t>::max();
  }
  maps_.control().armed = 1;
}

unsigned CostBed::add_fault(const CostFault& fault) {
  if (used_ == CHAOS_MAX_FAULTS) throw std::runtime_error("too many faults for one bed");
  chaos_fault& kernel = maps_.fault(used_);
  kernel = {};
  kernel.seed = used_ + 1;
  kernel.generation = used_ + 1;
  kernel.threshold = fault.threshold;
  kernel.deadline_boot_ns = CHAOS_NO_DEADLINE;
  check(classifier_.install(used_, fault.rule));
  classifier_.activate(used_);
  return used_++;
}

void CostBed::fill_up() {
  while (used_ < CHAOS_MAX_FAULTS) {
    ClassifierRule rule;
    rule.remote_ports = {static_cast<std::uint16_t>(kSparePorts + used_)};
    add_fault({rule, 0});
  }
}

std::uint64_t CostBed::outcome_count(const Prepared& prepared, unsigned slot) const {
  const auto counters = maps_.read_counters(prepared.fault);
  switch (prepared.outcome) {
    case Outcome::kNotSampled:
      return counters.not_sampled;
    case Outcome::kInjected:
      return counters.injected;
    case Outcome::kProtected:
      return counters.spared_protected;
    case Outcome::kNothingOnSlot:
    case Outcome::kNoMatch:
      return maps_.read_seen(slot, CHAOS_EGRESS);
  }
  return 0;
}

double CostBed::run(std::size_t number, std::uint32_t repeat, bool direct) const {
  const Prepared& prepared = cases_[number];
  const auto slot = static_cast<unsigned>(number);
  const std::uint64_t before = outcome_count(prepared, slot);
  const double mean = test_run(direct ? programs_.classifier_fd() : prepared.entry.get(), prepared.frame,
                               slot << 1 | CHAOS_EGRESS, repeat);
  const std::uint64_t counted = outcome_count(prepared, slot) - before;
  const std::uint64_t expected = prepared.outcome == Outcome::kNothingOnSlot ? 0 : repeat;
  if (counted != expected) {
    throw std::runtime_error(
        fmt::format("{}: {} of {} packets had the expected outcome", prepared.name, counted, expected));
  }
  return mean;
}

double CostBed::run_empty(std::size_t copy, std::uint32_t repeat) const {
  return test_run(empty_[copy].get(), cases_.front().frame, 0, repeat);
}

}  // namespace chaos::bench
