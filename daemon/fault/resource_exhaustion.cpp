#include "fault/resource_exhaustion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "fault/cgroup_limits.h"
#include "fault/host_fault.h"
#include "fault/packet_engine.h"
#include "safety/undo_journal.h"

namespace chaos {
namespace {

constexpr std::string_view kCpu = "cpu";
constexpr std::string_view kPids = "pids";
constexpr std::string_view kThrottle = "throttle";
constexpr std::string_view kLimit = "limit";
constexpr std::array kResources{kCpu, kPids};
constexpr std::array kModes{kThrottle, kLimit};
constexpr std::array<std::string_view, 3> kLevelSteps{"50%", "70%", "90%"};

/// What can be done to which resource.
struct Means {
  std::string_view resource;
  std::string_view mode;
  CgroupValues::Meaning (*meaning)(Probability level);
};
constexpr std::array kMeans{Means{kCpu, kThrottle, cpu_throttle}, Means{kPids, kLimit, task_limit}};

constexpr std::array kParameters{
    ParamSpec{.name = "resource",
              .type = ParamType::kChoice,
              .help = "what becomes scarce: CPU time, or processes and threads (pids)",
              .choices = kResources},
    ParamSpec{.name = "mode",
              .type = ParamType::kChoice,
              .help = "how; cpu: throttle; pids: limit",
              .choices = kModes,
              .required = true},
    ParamSpec{.name = "level",
              .type = ParamType::kProbability,
              .help = "what is taken away; throttle: of the CPU time that the target may use; limit: of the tasks that "
                      "it has, so that no fork succeeds until so many have ended",
              .minimum = "1%",
              .maximum = "100%",
              .severity_steps = kLevelSteps,
              .required = true},
};

Result<CgroupValues::Meaning> meaning_of(const Parameters& parameters) {
  const auto resource = get_string(parameters, "resource");
  const auto mode = get_string(parameters, "mode");
  const auto level = get_probability(parameters, "level");
  if (!resource) return std::unexpected(resource.error());
  if (!mode) return std::unexpected(mode.error());
  if (!level) return std::unexpected(level.error());
  for (const Means& means : kMeans) {
    if (means.resource == *resource && means.mode == *mode) return means.meaning(*level);
  }
  return fail(Errc::kInvalid, fmt::format("{} does not go with {}", *mode, *resource), "parameters.mode",
              "cpu: throttle; pids: limit", "choose another mode or resource");
}

Status refine(Plan& plan) {
  const auto meaning = meaning_of(plan.parameters);
  if (!meaning) return std::unexpected(meaning.error());
  const auto values = meaning->find(*plan.reach.processes);
  if (!values) return std::unexpected(values.error());
  for (const CgroupValue& value : *values) {
    plan.mechanism += fmt::format("{}{} in {}", plan.mechanism.empty() ? "" : ", ", value.value, value.file.string());
  }
  return {};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  auto options = HostFault::options_of(plan);
  auto meaning = meaning_of(plan.parameters);
  if (!options) return std::unexpected(options.error());
  if (!meaning) return std::unexpected(meaning.error());
  auto values = CgroupValues::create(mechanisms.journal, *plan.reach.processes, std::move(*meaning));
  if (!values) return std::unexpected(values.error());
  return std::make_unique<HostFault>(std::move(*values), ActGate(mechanisms.packets.control()), std::move(*options));
}

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kResourceExhaustion{
    .spec = {.name = "resource_exhaustion",
             .help = "make a resource scarce for a target: CPU time, or the number of processes",
             .parameters = kParameters,
             .ownership = Ownership::kJournaled,
             .targets = {.processes = true},
             .features = {},
             .refine = refine,
             .unit = "target"},
    .prepare = prepare,
};

}  // namespace chaos
