#include "fault/component_failure.h"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <utility>

#include "fault/cgroup_values.h"
#include "fault/crash_fault.h"
#include "fault/host_fault.h"
#include "fault/packet_engine.h"
#include "fault/process_stopper.h"
#include "kernel/cgroup.h"
#include "kernel/proc_tree.h"

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
constexpr std::array<std::string_view, 1> kSlowBy{"freeze"};
constexpr std::array<std::string_view, 5> kFrozenSteps{"10%", "30%", "50%", "70%", "90%"};

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
    ParamSpec{.name = "frozen",
              .type = ParamType::kProbability,
              .help = "share of the time at a halt",
              .minimum = "5%",
              .maximum = "95%",
              .default_value = "50%",
              .severity_steps = kFrozenSteps,
              .when = {"failure_type", kOnlySlow}},
    ParamSpec{.name = "slice",
              .type = ParamType::kDuration,
              .help = "the shorter of both spells, at a halt and running; the other follows from frozen",
              .minimum = "5ms",
              .maximum = "50ms",
              .default_value = "10ms",
              .when = {"failure_type", kOnlySlow}},
    ParamSpec{.name = "by",
              .type = ParamType::kChoice,
              .help = "what makes it slow; freeze: brought to a halt and let go, again and again",
              .default_value = kSlowBy[0],
              .choices = kSlowBy,
              .when = {"failure_type", kOnlySlow}},
};

/// What has a value where it applies, else 0.
nanoseconds duration_or_zero(const Parameters& parameters, std::string_view name) {
  return get_duration(parameters, name).value_or(nanoseconds(0));
}

Result<Rhythm> rhythm_of(const Parameters& parameters) {
  if (!parameters.contains("frozen")) {
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
  const ProcessReach& target = *plan.reach.processes;
  plan.reach.notes.push_back(target.main ? fmt::format("the main process is {} now", target.main_name)
                                         : "there is no main process now");
  plan.reach.notes.emplace_back(
      "a process that has ended does not come back by chaosd: who supervises it sees to that, or nobody does");
}

void refine_halt(Plan& plan) {
  const bool by_cgroup = !plan.reach.processes->cgroups.empty();
  plan.mechanism = by_cgroup ? "cgroup.freeze" : "SIGSTOP and SIGCONT by pidfd";
  if (by_cgroup) return;
  plan.reach.notes.emplace_back(
      "who waits for a stopped process (a shell, a supervisor) is told that it has stopped and goes on");
}

Status refine(Plan& plan) {
  const auto type = get_string(plan.parameters, "failure_type");
  if (!type) return std::unexpected(type.error());
  if (const auto rhythm = rhythm_of(plan.parameters); !rhythm) return std::unexpected(rhythm.error());
  (*type == kCrash ? refine_crash : refine_halt)(plan);
  return {};
}

constexpr std::string_view kFrozen = "1";

Result<std::vector<CgroupValue>> freeze_values(const ProcessReach& reach) {
  const auto tree = CgroupTree::find();
  if (!tree) return std::unexpected(tree.error());
  std::vector<CgroupValue> values;
  for (const Cgroup& cgroup : reach.cgroups) {
    if (const auto directory = tree->open(cgroup); !directory) return std::unexpected(directory.error());
    values.push_back({tree->mount_point() / cgroup.path.substr(1) / "cgroup.freeze", std::string(kFrozen)});
  }
  return values;
}

std::string frozen_already(const std::string& file, const std::string& before) {
  return before == kFrozen ? file + " says that it is frozen already, by somebody else" : std::string();
}

/// How many of the cgroups have come to a halt with all that is below them: "frozen 1" in cgroup.events
/// (cgroup-v2.rst).
std::map<std::string, std::string> count_halted(const std::vector<std::filesystem::path>& files) {
  std::size_t halted = 0;
  for (const auto& file : files) {
    const auto events = proc::read_record(file.parent_path() / "cgroup.events");
    halted += events && events->contains("frozen 1") ? 1 : 0;
  }
  return {{"halted", fmt::format("{} of {} cgroups", halted, files.size())}};
}

Result<std::unique_ptr<HostChange>> halt_of(const Plan& plan, UndoJournal& journal, bool quick) {
  const ProcessReach& reach = *plan.reach.processes;
  if (reach.cgroups.empty()) return std::make_unique<ProcessStopper>(journal, reach, quick);
  CgroupValues::Meaning meaning{.find = freeze_values, .in_the_way = frozen_already};
  if (!quick) meaning.measure = count_halted;
  return CgroupValues::create(journal, reach, std::move(meaning));
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
  const auto type = get_string(plan.parameters, "failure_type");
  auto options = HostFault::options_of(plan);
  const auto rhythm = rhythm_of(plan.parameters);
  if (!type) return std::unexpected(type.error());
  if (!options) return std::unexpected(options.error());
  if (!rhythm) return std::unexpected(rhythm.error());
  if (*type == kCrash) return prepare_crash(plan, gate, *options);

  options->rhythm = *rhythm;
  options->achieved = [](const AppliedTimes& times) -> std::map<std::string, std::string> {
    if (times.passed.count() == 0) return {};
    const double share = static_cast<double>(times.applied.count()) / static_cast<double>(times.passed.count());
    return {{"frozen", fmt::format("{:.4g}%", 100.0 * share)}};
  };
  auto halt = halt_of(plan, mechanisms.journal, *type == kSlowResponse);
  if (!halt) return std::unexpected(halt.error());
  return std::make_unique<HostFault>(std::move(*halt), gate, std::move(*options));
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
             .unit = "process"},
    .prepare = prepare,
};

}  // namespace chaos
