#include "fault/resource_exhaustion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fault/cgroup_limits.h"
#include "fault/cpu_load.h"
#include "fault/disk_load.h"
#include "fault/host_fault.h"
#include "fault/load_workers.h"
#include "fault/memory_pressure.h"
#include "fault/packet_engine.h"
#include "safety/undo_journal.h"

namespace chaos {
namespace {

constexpr std::string_view kCpu = "cpu";
constexpr std::string_view kMemory = "memory";
constexpr std::string_view kDisk = "disk";
constexpr std::string_view kPids = "pids";
constexpr std::string_view kLoad = "load";
constexpr std::string_view kThrottle = "throttle";
constexpr std::string_view kPressure = "pressure";
constexpr std::string_view kLimit = "limit";
constexpr std::string_view kFill = "fill";
constexpr std::string_view kIoLoad = "io_load";
constexpr std::array kResources{kCpu, kMemory, kDisk, kPids};
constexpr std::array kModes{kLoad, kThrottle, kPressure, kLimit, kFill, kIoLoad};
/// With a level.
constexpr std::array kLevelled{kLoad, kThrottle, kPressure, kLimit, kFill};
constexpr std::array kRated{kPressure, kFill, kIoLoad};
constexpr std::array kOnlyDisk{kDisk};
constexpr std::array kOnlyLoad{kLoad};
constexpr std::array kOnlyPressure{kPressure};
constexpr std::array kOnlyFill{kFill};
constexpr std::string_view kPairs = "cpu: load, throttle; memory: pressure; disk: fill, io_load; pids: limit";
constexpr std::array<std::string_view, 3> kLevelSteps{"50%", "70%", "90%"};

/// What can be done to which resource.
struct Means {
  std::string_view resource;
  std::string_view mode;
  CgroupValues::Meaning (*meaning)(Probability level);
};
constexpr std::array kMeans{Means{kCpu, kThrottle, cpu_throttle}, Means{kPids, kLimit, task_limit}};

/// What is taken by workers.
struct Taken {
  std::string_view resource;
  std::string_view mode;
  const LoadMeans* means;
};
constexpr std::array kTaken{Taken{kCpu, kLoad, &kCpuLoad}, Taken{kMemory, kPressure, &kMemoryPressure},
                            Taken{kDisk, kFill, &kDiskFill}, Taken{kDisk, kIoLoad, &kDiskWrite}};

constexpr std::array kParameters{
    ParamSpec{
        .name = "resource",
        .type = ParamType::kChoice,
        .help = "what becomes scarce: CPU time, memory, room on a disk and its time, or processes and threads (pids)",
        .choices = kResources},
    ParamSpec{.name = "mode",
              .type = ParamType::kChoice,
              .help = "how; cpu: load, throttle; memory: pressure; disk: fill, io_load; pids: limit",
              .choices = kModes,
              .required = true},
    ParamSpec{.name = "level",
              .type = ParamType::kProbability,
              .help = "load, pressure, fill: how much shall be in use, by whomever; throttle: of the CPU time that the "
                      "target may use, taken away; limit: of the tasks that it has, so that no fork succeeds until so "
                      "many have ended",
              .minimum = "1%",
              .maximum = "100%",
              .severity_steps = kLevelSteps,
              .when = {"mode", kLevelled}},
    ParamSpec{.name = "cpus",
              .type = ParamType::kString,
              .help = "which CPUs, such as 0-2,5; else all",
              .when = {"mode", kOnlyLoad}},
    ParamSpec{.name = "floor",
              .type = ParamType::kProbability,
              .help = "of the host's memory, and of the cgroup's: what stays free in any case",
              .minimum = "1%",
              .maximum = "50%",
              .default_value = "5%",
              .when = {"mode", kOnlyPressure}},
    ParamSpec{.name = "path",
              .type = ParamType::kString,
              .help = "a directory on the file system that is meant",
              .when = {"resource", kOnlyDisk}},
    ParamSpec{.name = "leave",
              .type = ParamType::kBytes,
              .help = "what shall be left of the file system, instead of a level",
              .when = {"mode", kOnlyFill}},
    ParamSpec{.name = "rate",
              .type = ParamType::kBitRate,
              .help =
                  "io_load: what is written in a second; pressure, fill: what is taken in a second, else as fast as "
                  "it goes",
              .minimum = "8kbit",
              .maximum = "1tbit",
              .when = {"mode", kRated}},
};

const LoadMeans* load_of(const Plan& plan) {
  for (const Taken& taken : kTaken) {
    if (taken.resource == plan.parameters.at("resource") && taken.mode == plan.parameters.at("mode"))
      return taken.means;
  }
  return nullptr;
}

Result<CgroupValues::Meaning> meaning_of(const Parameters& parameters) {
  const auto resource = get_string(parameters, "resource");
  const auto mode = get_string(parameters, "mode");
  if (!resource) return std::unexpected(resource.error());
  if (!mode) return std::unexpected(mode.error());
  for (const Means& means : kMeans) {
    if (means.resource != *resource || means.mode != *mode) continue;
    const auto level = get_probability(parameters, "level");
    if (!level) return std::unexpected(level.error());
    return means.meaning(*level);
  }
  return fail(Errc::kInvalid, fmt::format("{} does not go with {}", *mode, *resource), "parameters.mode",
              std::string(kPairs), "choose another mode or resource");
}

Status refine(Plan& plan) {
  if (const LoadMeans* load = load_of(plan)) {
    plan.ownership = Ownership::kProcess;
    return load->refine(plan);
  }
  const auto meaning = meaning_of(plan.parameters);
  if (!meaning) return std::unexpected(meaning.error());
  if (plan.reach.host) {
    return fail(Errc::kInvalid, "the host has no limit that could be tightened", "target", "a target that is a cgroup",
                "aim at a service, unit, cgroup or container");
  }
  const auto values = meaning->find(*plan.reach.processes);
  if (!values) return std::unexpected(values.error());
  for (const CgroupValue& value : *values) {
    plan.mechanism += fmt::format("{}{} in {}", plan.mechanism.empty() ? "" : ", ", value.value, value.file.string());
  }
  return {};
}

Result<std::unique_ptr<HostChange>> change_of(const Plan& plan, const Mechanisms& mechanisms) {
  const ProcessReach reach = plan.reach.processes.value_or(ProcessReach{});
  if (const LoadMeans* load = load_of(plan)) {
    auto orders = load->orders(plan);
    if (!orders) return std::unexpected(orders.error());
    return LoadWorkers::create(mechanisms.loads, reach, std::move(*orders));
  }
  auto meaning = meaning_of(plan.parameters);
  if (!meaning) return std::unexpected(meaning.error());
  return CgroupValues::create(mechanisms.journal, reach, std::move(*meaning));
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  auto options = HostFault::options_of(plan);
  if (!options) return std::unexpected(options.error());
  auto change = change_of(plan, mechanisms);
  if (!change) return std::unexpected(change.error());
  return std::make_unique<HostFault>(std::move(*change), ActGate(mechanisms.packets.control()), std::move(*options));
}

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kResourceExhaustion{
    .spec = {.name = "resource_exhaustion",
             .help = "make a resource scarce for the host or a target: CPU time, memory, disk space, disk time, or the "
                     "number of "
                     "processes",
             .parameters = kParameters,
             .ownership = Ownership::kJournaled,
             .targets = {.host = true, .processes = true},
             .features = {},
             .refine = refine,
             .unit = "target"},
    .prepare = prepare,
};

}  // namespace chaos
