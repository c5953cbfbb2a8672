#include "fault/resource_exhaustion.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <utility>

#include "fault/cgroup_limits.h"
#include "fault/disk_throttle.h"
#include "fault/fd_limiter.h"
#include "fault/host_fault.h"
#include "fault/memory_limit.h"
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
constexpr std::string_view kThrottle = "throttle";
constexpr std::string_view kLimit = "limit";
constexpr std::array kResources{kCpu, kMemory, kDisk, kPids, kFds};
constexpr std::array kModes{kThrottle, kLimit};
constexpr std::array<std::string_view, 3> kLevelSteps{"50%", "70%", "90%"};
constexpr std::array<std::string_view, 5> kRateSteps{"100MBps", "50MBps", "20MBps", "5MBps", "1MBps"};
constexpr std::array kByShare{kCpu, kMemory, kPids, kFds};
constexpr std::array kOnlyDisk{kDisk};

constexpr std::string_view kLevel = "level";
constexpr std::string_view kPath = "path";
constexpr std::string_view kRate = "rate";

/// What can be done to which resource.
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
constexpr const char* kPairs = "cpu: throttle; memory: limit; disk: throttle; pids: limit; fds: limit";

constexpr std::array kParameters{
    ParamSpec{.name = "resource",
              .type = ParamType::kChoice,
              .help = "what becomes scarce: CPU time, memory, the throughput of a disk, processes and threads (pids), "
                      "open files (fds)",
              .choices = kResources},
    ParamSpec{.name = "mode", .type = ParamType::kChoice, .help = kPairs, .choices = kModes, .required = true},
    ParamSpec{.name = kLevel,
              .type = ParamType::kProbability,
              .help = "what is taken away; cpu: of the CPU time that the target may use; memory, pids, fds: of the "
                      "memory, tasks or open files that it has",
              .minimum = "1%",
              .maximum = "100%",
              .severity_steps = kLevelSteps,
              .when = {"resource", kByShare},
              .required = true},
    ParamSpec{.name = kPath,
              .type = ParamType::kString,
              .help = "disk: a file or directory on it, or its device file",
              .when = {"resource", kOnlyDisk},
              .required = true},
    ParamSpec{.name = kRate,
              .type = ParamType::kBitRate,
              .help = "disk throttle: what may be read, and what may be written, in a second (10MBps)",
              .minimum = "8kbit",
              .severity_steps = kRateSteps,
              .when = {"resource", kOnlyDisk},
              .required = true},
};

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
  const auto means = means_of(plan.parameters);
  if (!means) return std::unexpected(means.error());
  return (*means)->refine(plan);
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  auto options = HostFault::options_of(plan);
  const auto means = means_of(plan.parameters);
  if (!options) return std::unexpected(options.error());
  if (!means) return std::unexpected(means.error());
  auto change = (*means)->make(plan, mechanisms.journal);
  if (!change) return std::unexpected(change.error());
  return std::make_unique<HostFault>(std::move(*change), ActGate(mechanisms.packets.control()), std::move(*options));
}

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kResourceExhaustion{
    .spec = {.name = "resource_exhaustion",
             .help = "make a resource scarce for a target: CPU time, memory, a disk, processes, open files",
             .parameters = kParameters,
             .ownership = Ownership::kJournaled,
             .targets = {.processes = true},
             .features = {},
             .refine = refine,
             .unit = "target"},
    .prepare = prepare,
};

}  // namespace chaos
