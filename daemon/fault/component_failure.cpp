#include "fault/component_failure.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <utility>

#include "fault/cgroup_limits.h"
#include "fault/cgroup_values.h"
#include "fault/crash_fault.h"
#include "fault/freezer.h"
#include "fault/held_packets.h"
#include "fault/host_fault.h"
#include "fault/latency_injection.h"
#include "fault/packet_engine.h"
#include "fault/process_stopper.h"
#include "kernel/proc_tree.h"
#include "line/shapes.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

constexpr std::string_view kCrash = "crash";
constexpr std::string_view kHang = "hang";
constexpr std::string_view kSlowResponse = "slow_response";
constexpr std::array kTypes{kCrash, kHang, kSlowResponse};
/// From what a component lives through to what ends it.
constexpr std::array kTypeSteps{kSlowResponse, kHang, kCrash};
constexpr std::array kOnlyCrash{kCrash};
constexpr std::array kOnlyHang{kHang};
constexpr std::array kOnlySlow{kSlowResponse};
constexpr std::string_view kFreeze = "freeze";
constexpr std::string_view kThrottle = "throttle";
constexpr std::string_view kLatency = "latency";
constexpr std::array kSlowBy{kFreeze, kThrottle, kLatency};
constexpr std::array kOnlyFreeze{kFreeze};
constexpr std::array kByShare{kFreeze, kThrottle};
constexpr std::array kOnlyLatency{kLatency};
constexpr std::array<std::string_view, 5> kFrozenSteps{"10%", "30%", "50%", "70%", "90%"};
constexpr std::array<std::string_view, 5> kDelaySteps{"50ms", "100ms", "200ms", "500ms", "1s"};

constexpr std::array<std::pair<std::string_view, int>, 8> kSignals{{{"SIGKILL", SIGKILL},
                                                                    {"SIGTERM", SIGTERM},
                                                                    {"SIGSEGV", SIGSEGV},
                                                                    {"SIGABRT", SIGABRT},
                                                                    {"SIGINT", SIGINT},
                                                                    {"SIGQUIT", SIGQUIT},
                                                                    {"SIGHUP", SIGHUP},
                                                                    {"SIGBUS", SIGBUS}}};
constexpr auto kSignalNames = [] {
  std::array<std::string_view, kSignals.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kSignals[i].first;
  return names;
}();

constexpr std::array kParameters{
    ParamSpec{.name = "failure_type",
              .type = ParamType::kChoice,
              .help = "crash: a signal ends the main process; hang: all stand still; slow_response: they stand still "
                      "for a part of the time, in short slices",
              .choices = kTypes,
              .severity_steps = kTypeSteps},
    ParamSpec{.name = "signal",
              .type = ParamType::kChoice,
              .help = "what the main process gets",
              .default_value = kSignalNames[0],
              .choices = kSignalNames,
              .when = {"failure_type", kOnlyCrash}},
    ParamSpec{.name = "every",
              .type = ParamType::kDuration,
              .help = "again after this time, whichever process is the main one then; else once",
              .minimum = "1s",
              .maximum = "1h",
              .when = {"failure_type", kOnlyCrash}},
    ParamSpec{.name = "pulse_on",
              .type = ParamType::kDuration,
              .help = "stands still for so long, with pulse_off; else for the whole duration",
              .minimum = "50ms",
              .maximum = "1h",
              .when = {"failure_type", kOnlyHang}},
    ParamSpec{.name = "pulse_off",
              .type = ParamType::kDuration,
              .help = "then runs for so long, with pulse_on",
              .minimum = "50ms",
              .maximum = "1h",
              .when = {"failure_type", kOnlyHang}},
    ParamSpec{.name = "by",
              .type = ParamType::kChoice,
              .help = "what makes it slow; freeze: brought to a halt and let go, again and again; throttle: less CPU "
                      "time; latency: what it sends from its ports arrives later",
              .default_value = kFreeze,
              .choices = kSlowBy,
              .when = {"failure_type", kOnlySlow}},
    ParamSpec{.name = "frozen",
              .type = ParamType::kProbability,
              .help = "freeze: share of the time at a halt; throttle: share of the CPU time taken away",
              .minimum = "5%",
              .maximum = "95%",
              .default_value = "50%",
              .severity_steps = kFrozenSteps,
              .when = {"by", kByShare}},
    ParamSpec{.name = "slice",
              .type = ParamType::kDuration,
              .help = "the shorter of both spells, at a halt and running; the other follows from frozen",
              .minimum = "5ms",
              .maximum = "50ms",
              .default_value = "10ms",
              .when = {"by", kOnlyFreeze}},
    ParamSpec{.name = "delay",
              .type = ParamType::kDuration,
              .help = "how much later",
              .minimum = "1ms",
              .maximum = "60s",
              .default_value = "200ms",
              .severity_steps = kDelaySteps,
              .when = {"by", kOnlyLatency}},
    ParamSpec{.name = "jitter",
              .type = ParamType::kDuration,
              .help = "at most this much more or less, spread evenly",
              .minimum = "0s",
              .maximum = "60s",
              .default_value = "0s",
              .when = {"by", kOnlyLatency}},
};

Result<Rhythm> rhythm_of(const Parameters& parameters) {
  if (!parameters.contains("slice")) {
    const Rhythm pulses{duration_or_zero(parameters, "pulse_on"), duration_or_zero(parameters, "pulse_off")};
    if ((pulses.on.count() == 0) == (pulses.off.count() == 0)) return pulses;
    return fail(Errc::kInvalid, "pulses need both pulse_on and pulse_off", "parameters.pulse_on", "both, or neither",
                "give both, such as pulse_on=2s pulse_off=8s");
  }
  const auto frozen = get_probability(parameters, "frozen");
  const auto slice = get_duration(parameters, "slice");
  if (!frozen) return std::unexpected(frozen.error());
  if (!slice) return std::unexpected(slice.error());
  return slices(frozen->fraction(), *slice);
}

void refine_crash(Plan& plan) {
  plan.ownership = Ownership::kProcess;
  plan.mechanism = "a signal by pidfd";
  const auto main = main_process(*plan.reach.processes);
  plan.reach.notes.push_back(
      main ? fmt::format("the main process is process {} ({}) now", main->pid, proc::comm("/proc", main->pid))
           : "there is no main process now");
  plan.reach.notes.emplace_back(
      "a process that has ended does not come back by chaosd: who supervises it sees to that, or nobody does");
}

void refine_halt(Plan& plan) {
  const ProcessReach& target = *plan.reach.processes;
  const Status freezer = can_freeze(target);
  plan.mechanism = !freezer                 ? "SIGSTOP and SIGCONT by pidfd"
                   : target.cgroups.empty() ? "the freezer of cgroup v1"
                                            : "cgroup.freeze";
  if (freezer) return;
  if (target.by_place) plan.reach.notes.push_back("one by one, since it has no freezer: " + freezer.error().message);
  plan.reach.notes.emplace_back(
      "who waits for a stopped process (a shell, a supervisor) is told that it has stopped and goes on");
}

/// How it is made slow; empty for another failure.
std::string slow_by(const Parameters& parameters) { return get_string(parameters, "by").value_or(""); }

DelayShape delay_of(const Parameters& parameters) {
  DelayShape shape;
  shape.delay = duration_or_zero(parameters, "delay");
  shape.jitter = duration_or_zero(parameters, "jitter");
  return shape;
}

Status refine_latency(Plan& plan) {
  plan.ownership = Ownership::kFileDescriptor;
  if (Status status = check_delay(delay_of(plan.parameters)); !status) return status;
  return refine_held(plan);
}

Result<CgroupValues::Meaning> throttle_of(const Plan& plan) {
  const auto level = get_probability(plan.parameters, "frozen");
  if (!level) return std::unexpected(level.error());
  return cpu_throttle(*level);
}

Status refine_throttle(Plan& plan) {
  const auto meaning = throttle_of(plan);
  if (!meaning) return std::unexpected(meaning.error());
  const auto values = CgroupValues::wanted(*meaning, *plan.reach.processes);
  if (!values) return std::unexpected(values.error());
  plan.mechanism = describe(*values);
  return {};
}

Status refine(Plan& plan) {
  const auto type = get_string(plan.parameters, "failure_type");
  if (!type) return std::unexpected(type.error());
  if (const auto rhythm = rhythm_of(plan.parameters); !rhythm) return std::unexpected(rhythm.error());
  const std::string by = slow_by(plan.parameters);
  if (by == kLatency) return refine_latency(plan);
  if (by == kThrottle) return refine_throttle(plan);
  (*type == kCrash ? refine_crash : refine_halt)(plan);
  return {};
}

Result<std::unique_ptr<HostChange>> halt_of(const Plan& plan, UndoJournal& journal, bool quick) {
  const ProcessReach& reach = *plan.reach.processes;
  if (!can_freeze(reach)) return std::make_unique<ProcessStopper>(journal, reach, quick);
  return CgroupValues::create(journal, reach, freeze(!quick));
}

Result<std::unique_ptr<HostChange>> change_of(const Plan& plan, UndoJournal& journal) {
  const std::string by = slow_by(plan.parameters);
  if (by != kThrottle) return halt_of(plan, journal, by == kFreeze);
  auto meaning = throttle_of(plan);
  if (!meaning) return std::unexpected(meaning.error());
  return CgroupValues::create(journal, *plan.reach.processes, std::move(*meaning));
}

std::map<std::string, std::string> frozen_share(const AppliedTimes& times) {
  if (times.passed.count() == 0) return {};
  const double share = static_cast<double>(times.applied.count()) / static_cast<double>(times.passed.count());
  return {{"frozen", fmt::format("{:.4g}%", 100.0 * share)}};
}

std::unique_ptr<Fault> prepare_crash(const Plan& plan, ActGate gate, const HostFault::Options& common) {
  CrashFault::Options options{.max_events = common.max_events, .shadow = common.shadow};
  const auto name = get_string(plan.parameters, "signal").value_or("");
  for (const auto& [signal_name, number] : kSignals) {
    if (signal_name == name) options.signo = number;
  }
  if (const auto every = duration_or_zero(plan.parameters, "every"); every.count() > 0) options.every = every;
  return std::make_unique<CrashFault>(*plan.reach.processes, gate, options);
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  const ActGate gate(mechanisms.packets.control());
  const std::string by = slow_by(plan.parameters);
  if (by == kLatency) return prepare_delay(admitted, mechanisms, delay_of(plan.parameters));
  const auto type = get_string(plan.parameters, "failure_type");
  auto options = HostFault::options_of(plan);
  const auto rhythm = rhythm_of(plan.parameters);
  if (!type) return std::unexpected(type.error());
  if (!options) return std::unexpected(options.error());
  if (!rhythm) return std::unexpected(rhythm.error());
  if (*type == kCrash) return prepare_crash(plan, gate, *options);

  options->rhythm = *rhythm;
  if (by != kThrottle) options->achieved = frozen_share;
  auto change = change_of(plan, mechanisms.journal);
  if (!change) return std::unexpected(change.error());
  return std::make_unique<HostFault>(std::move(*change), gate, std::move(*options));
}

/// As latency_injection is aimed, at one direction of some ports.
constexpr KindSpec kLate{.name = "component_failure",
                         .help = {},
                         .parameters = {},
                         .ownership = Ownership::kFileDescriptor,
                         .targets = {.sockets = true, .filters = true, .answers = true},
                         .features = {},
                         .holds_packets = true};

const KindSpec* kind_aimed_as(const Parameters& parameters) {
  return slow_by(parameters) == kLatency ? &kLate : nullptr;
}

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kComponentFailure{
    .spec = {.name = "component_failure",
             .help = "let a component crash, hang or become slow, by its processes",
             .parameters = kParameters,
             .ownership = Ownership::kJournaled,
             .targets = {.processes = true},
             .features = {},
             .refine = refine,
             .aimed_as = kind_aimed_as,
             .unit = "process"},
    .prepare = prepare,
};

}  // namespace chaos
