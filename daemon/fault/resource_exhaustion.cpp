#include "fault/resource_exhaustion.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <utility>

#include "fault/cgroup_limits.h"
#include "fault/cpu_load.h"
#include "fault/disk_load.h"
#include "fault/disk_throttle.h"
#include "fault/fd_limiter.h"
#include "fault/host_fault.h"
#include "fault/load_workers.h"
#include "fault/memory_limit.h"
#include "fault/memory_pressure.h"
#include "fault/packet_engine.h"
#include "kernel/block_device.h"
#include "safety/undo_journal.h"

namespace chaos {
namespace {

constexpr std::string_view kCpu = "cpu";
constexpr std::string_view kMemory = "memory";
constexpr std::string_view kDisk = "disk";
constexpr std::string_view kPids = "pids";
constexpr std::string_view kFds = "fds";
constexpr std::string_view kLoad = "load";
constexpr std::string_view kThrottle = "throttle";
constexpr std::string_view kPressure = "pressure";
constexpr std::string_view kLimit = "limit";
constexpr std::string_view kFill = "fill";
constexpr std::string_view kIoLoad = "io_load";
constexpr std::array kResources{kCpu, kMemory, kDisk, kPids, kFds};
constexpr std::array kModes{kLoad, kThrottle, kPressure, kLimit, kFill, kIoLoad};
constexpr std::array<std::string_view, 3> kLevelSteps{"50%", "70%", "90%"};
constexpr std::array<std::string_view, 5> kRateSteps{"100MBps", "50MBps", "20MBps", "5MBps", "1MBps"};
constexpr std::array kByShare{kCpu, kMemory, kPids, kFds};
constexpr std::array kOnlyDisk{kDisk};
constexpr std::array kOnlyLoad{kLoad};
constexpr std::array kOnlyPressure{kPressure};
constexpr std::array kOnlyFill{kFill};
/// Where a rate is what it is about, and not how fast it gets there.
constexpr std::array kByRate{kThrottle, kIoLoad};
constexpr std::array kOnlyThrottle{kThrottle};
/// Where nothing but a level says how much.
constexpr std::array kByLevel{kLoad, kThrottle, kPressure, kLimit};

constexpr std::string_view kLevel = "level";
constexpr std::string_view kPath = "path";
constexpr std::string_view kRate = "rate";

/// What can be tightened.
struct Means {
  std::string_view resource;
  std::string_view mode;
  /// Says by what it is done, and refuses what cannot be done here.
  Status (*refine)(Plan& plan);
  /// Nothing is changed yet.
  Result<std::unique_ptr<HostChange>> (*make)(const Plan& plan, UndoJournal& journal);
};

using Meaning = CgroupValues::Meaning;

Result<Meaning> disk_meaning(const Parameters& parameters) {
  const auto path = get_string(parameters, kPath);
  const auto rate = get_bit_rate(parameters, kRate);
  if (!path) return std::unexpected(path.error());
  if (!rate) return std::unexpected(rate.error());
  const auto disk = disk_of(*path);
  if (!disk) return std::unexpected(disk.error());
  constexpr std::uint64_t kBitsInByte = 8;
  return disk_throttle(*disk, *rate / kBitsInByte);
}

template <Meaning (*kMeaning)(Probability level)>
Result<Meaning> level_meaning(const Parameters& parameters) {
  const auto level = get_probability(parameters, kLevel);
  if (!level) return std::unexpected(level.error());
  return kMeaning(*level);
}

template <Result<Meaning> (*kMeaning)(const Parameters& parameters)>
Status refine_values(Plan& plan) {
  const auto meaning = kMeaning(plan.parameters);
  if (!meaning) return std::unexpected(meaning.error());
  const auto values = CgroupValues::wanted(*meaning, *plan.reach.processes);
  if (!values) return std::unexpected(values.error());
  plan.mechanism = describe(*values);
  return {};
}

template <Result<Meaning> (*kMeaning)(const Parameters& parameters)>
Result<std::unique_ptr<HostChange>> make_values(const Plan& plan, UndoJournal& journal) {
  auto meaning = kMeaning(plan.parameters);
  if (!meaning) return std::unexpected(meaning.error());
  return CgroupValues::create(journal, *plan.reach.processes, std::move(*meaning));
}

Status refine_fds(Plan& plan) {
  const auto level = get_probability(plan.parameters, kLevel);
  if (!level) return std::unexpected(level.error());
  const auto limit = lowered_fd_limit(*plan.reach.processes, *level);
  if (!limit) return std::unexpected(limit.error());
  plan.mechanism = fmt::format("prlimit: {} in RLIMIT_NOFILE, soft", *limit);
  plan.reach.notes.emplace_back("with more descriptors than the limit poll(2) fails as well (EINVAL)");
  return {};
}

Result<std::unique_ptr<HostChange>> make_fds(const Plan& plan, UndoJournal& journal) {
  const auto level = get_probability(plan.parameters, kLevel);
  if (!level) return std::unexpected(level.error());
  return FdLimiter::create(journal, *plan.reach.processes, *level);
}

template <Result<Meaning> (*kMeaning)(const Parameters& parameters)>
constexpr Means values(std::string_view resource, std::string_view mode) {
  return {resource, mode, refine_values<kMeaning>, make_values<kMeaning>};
}

constexpr std::array kMeans{
    values<level_meaning<cpu_throttle>>(kCpu, kThrottle),
    values<level_meaning<memory_limit>>(kMemory, kLimit),
    values<disk_meaning>(kDisk, kThrottle),
    values<level_meaning<task_limit>>(kPids, kLimit),
    Means{kFds, kLimit, refine_fds, make_fds},
};
constexpr const char* kPairs =
    "cpu: load, throttle; memory: pressure, limit; disk: fill, io_load, throttle; pids: limit; fds: limit";

/// What is taken by workers.
struct Taken {
  std::string_view resource;
  std::string_view mode;
  const LoadMeans* means;
};
constexpr std::array kTaken{Taken{kCpu, kLoad, &kCpuLoad}, Taken{kMemory, kPressure, &kMemoryPressure},
                            Taken{kDisk, kFill, &kDiskFill}, Taken{kDisk, kIoLoad, &kDiskWrite}};

constexpr std::array kParameters{
    ParamSpec{.name = "resource",
              .type = ParamType::kChoice,
              .help = "what becomes scarce: CPU time, memory, a disk (its room, its throughput), processes and threads "
                      "(pids), open files (fds)",
              .choices = kResources},
    ParamSpec{.name = "mode", .type = ParamType::kChoice, .help = kPairs, .choices = kModes, .required = true},
    ParamSpec{.name = kLevel,
              .type = ParamType::kProbability,
              .help =
                  "load, pressure, fill: how much shall be in use, by whomever; throttle, limit: what is taken away "
                  "of the CPU time that the target may use, or of the memory, tasks or open files that it has",
              .minimum = "1%",
              .maximum = "100%",
              .severity_steps = kLevelSteps,
              .when = {"resource", kByShare},
              .or_when = {"mode", kOnlyFill},
              .required = true,
              .required_when = {"mode", kByLevel}},
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
    ParamSpec{.name = kPath,
              .type = ParamType::kString,
              .help =
                  "fill, io_load: a directory on the file system that is meant; throttle: a file or directory on the "
                  "disk, or its device file",
              .when = {"resource", kOnlyDisk},
              .required = true},
    ParamSpec{.name = "leave",
              .type = ParamType::kBytes,
              .help = "what shall be left of the file system, instead of a level",
              .minimum = "1B",
              .maximum = "1000TiB",
              .when = {"mode", kOnlyFill}},
    ParamSpec{.name = kRate,
              .type = ParamType::kBitRate,
              .help = "throttle: what may be read, and what may be written, in a second (10MBps); io_load: what is "
                      "written; pressure, fill: what is taken, else as fast as it goes",
              .minimum = "8kbit",
              .maximum = "1tbit",
              .severity_steps = kRateSteps,
              .when = {"resource", kOnlyDisk},
              .or_when = {"mode", kOnlyPressure},
              .preset_when = {"mode", kOnlyThrottle},
              .required = true,
              .required_when = {"mode", kByRate}},
};

const LoadMeans* load_of(const Plan& plan) {
  for (const Taken& taken : kTaken) {
    if (taken.resource == plan.parameters.at("resource") && taken.mode == plan.parameters.at("mode"))
      return taken.means;
  }
  return nullptr;
}

Result<const Means*> means_of(const Parameters& parameters) {
  const auto resource = get_string(parameters, "resource");
  const auto mode = get_string(parameters, "mode");
  if (!resource) return std::unexpected(resource.error());
  if (!mode) return std::unexpected(mode.error());
  for (const Means& means : kMeans) {
    if (means.resource == *resource && means.mode == *mode) return &means;
  }
  return fail(Errc::kInvalid, fmt::format("{} does not go with {}", *mode, *resource), "parameters.mode", kPairs,
              "choose another mode or resource");
}

Status refine(Plan& plan) {
  if (const LoadMeans* load = load_of(plan)) {
    plan.ownership = Ownership::kProcess;
    return load->refine(plan);
  }
  const auto means = means_of(plan.parameters);
  if (!means) return std::unexpected(means.error());
  if (plan.reach.host) {
    return fail(Errc::kInvalid, "the host has no limit that could be tightened", "target", "a target that is a cgroup",
                "aim at a service, unit, cgroup or container");
  }
  return (*means)->refine(plan);
}

Result<std::unique_ptr<HostChange>> change_of(const Plan& plan, const Mechanisms& mechanisms) {
  if (const LoadMeans* load = load_of(plan)) {
    auto orders = load->orders(plan);
    if (!orders) return std::unexpected(orders.error());
    return LoadWorkers::create(mechanisms.loads, plan.reach.processes.value_or(ProcessReach{}), std::move(*orders),
                               plan.request.mode == Mode::kShadow);
  }
  const auto means = means_of(plan.parameters);
  if (!means) return std::unexpected(means.error());
  return (*means)->make(plan, mechanisms.journal);
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
             .help = "make a resource scarce for the host or a target: CPU time, memory, a disk, processes, open files",
             .parameters = kParameters,
             .ownership = Ownership::kJournaled,
             .targets = {.host = true, .processes = true},
             .features = {},
             .refine = refine,
             .unit = "target"},
    .prepare = prepare,
};

}  // namespace chaos
