#include "safety/admission.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/contains.h"
#include "base/units.h"
#include "plan/parameters.h"
#include "safety/allowed_hours.h"

namespace chaos {
namespace {

const KindPolicy& policy_of(const Plan& plan, const ChaosTesting& policy) {
  static const KindPolicy kDefault;
  const auto found = policy.scenarios.find(plan.kind->name);
  return found == policy.scenarios.end() ? kDefault : found->second;
}

Status check_kind(const Plan& plan, const ChaosTesting& policy) {
  const std::string name(plan.kind->name);
  if (policy_of(plan, policy).enabled) return {};
  return fail(Errc::kRefused, name + " is disabled by the configuration", "kind",
              "chaos_testing.scenarios." + name + ".enabled", "enable it there and reload");
}

Status check_severity(const Plan& plan, const ChaosTesting& policy) {
  const std::string_view counted = plan.request.severity ? "" : "counts as ";
  if (plan.severity > policy.max_severity) {
    return fail(Errc::kRefused,
                fmt::format("{}severity {} is above the limit of {}", counted, plan.severity, policy.max_severity),
                "severity", "chaos_testing.max_severity", fmt::format("{} or less fits", policy.max_severity));
  }
  const std::vector<int>& levels = policy_of(plan, policy).severity_levels;
  if (plan.request.severity && !contains(levels, *plan.request.severity)) {
    return fail(Errc::kRefused,
                fmt::format("severity {} is not among those allowed for {}", *plan.request.severity, plan.kind->name),
                "severity", fmt::format("chaos_testing.scenarios.{}.severity_levels", plan.kind->name),
                fmt::format("allowed: {}", fmt::join(levels, ", ")));
  }
  return {};
}

Status check_reason(const Plan& plan, const ChaosTesting& policy) {
  if (plan.severity <= policy.require_reason_above_severity || !plan.request.reason.empty()) return {};
  return fail(
      Errc::kRefused,
      fmt::format("severity {} needs a reason: it is above {}", plan.severity, policy.require_reason_above_severity),
      "reason", "chaos_testing.require_reason_above_severity", "say why (chaosctl: --reason TEXT)");
}

Status check_duration(const Plan& plan, const ChaosTesting& policy) {
  const auto duration = plan.request.duration.value_or(std::chrono::nanoseconds::zero());
  if (duration < std::chrono::milliseconds(1)) {
    return fail(Errc::kInvalid, fmt::format("duration {} is too short", format_duration(duration)), "duration",
                "at least 1ms");
  }
  if (duration <= policy.safety_timeout) return {};
  const std::string limit = format_duration(policy.safety_timeout);
  return fail(Errc::kRefused, fmt::format("duration {} is above the limit of {}", format_duration(duration), limit),
              "duration", "chaos_testing.safety_timeout", "at most " + limit + " fits");
}

Status check_protected(const Plan& plan) {
  if (plan.protected_things.empty()) return {};
  return fail(Errc::kRefused,
              fmt::format("what is protected lives in the target: {}", fmt::join(plan.protected_things, ", ")),
              "target", "protect", "aim at something that they do not share, or change protect in the configuration");
}

Status check_hours(const ChaosTesting& policy, WallTime now) {
  const AllowedHours& hours = policy.allowed_hours;
  if (within_hours(hours, now)) return {};
  std::vector<std::string> windows;
  std::ranges::transform(hours.windows, std::back_inserter(windows), format_window);
  const auto opens = next_opening(hours, now);
  return fail(Errc::kRefused,
              fmt::format("scenarios start only {} ({}), and it is {}", fmt::join(windows, "; "), hours.time_zone,
                          format_rfc3339(now)),
              {}, "chaos_testing.allowed_hours",
              opens ? "they may start again at " + format_rfc3339(*opens) : "no window opens within two weeks");
}

Status check_blast_radius(const Plan& plan, const ChaosTesting& policy, const std::vector<Footprint>& others) {
  const std::optional<Probability>& own = policy_of(plan, policy).blast_radius_limit;
  const double limit = static_cast<double>(own.value_or(policy.blast_radius_limit).ppb()) / 1e9;
  std::vector<Footprint> all = others;
  const double taken = blast_share(plan.population, all);
  all.push_back(plan.footprint);
  const double share = blast_share(plan.population, all);
  // Shares are quotients: 3 of 10 must not be above 0.3 by rounding.
  constexpr double kRounding = 1e-10;
  if (share <= limit + kRounding) return {};
  const std::string key = own ? fmt::format("chaos_testing.scenarios.{}.blast_radius_limit", plan.kind->name)
                              : "chaos_testing.blast_radius_limit";
  const std::string_view at_most = plan.footprint.everything ? "this target is shared by all: aim at a part of them"
                                                             : "aim at less, or raise the limit";
  return fail(Errc::kRefused,
              fmt::format("the blast radius would be {} of {}, above the limit of {}", format_share(share, limit),
                          plan.population.of, format_share(limit)),
              "target", key,
              fmt::format("{} is taken by active scenarios, so {} more fits; {}", format_share(taken),
                          format_share(std::max(0.0, limit - taken)), at_most));
}

/// The lists that the configuration has for this kind alone.
Status check_component_failure(const Plan& plan, const ChaosTesting& policy) {
  if (plan.kind->name != "component_failure") return {};
  const std::string section = "chaos_testing.scenarios.component_failure.";
  const auto& [services, types] = policy.component_failure;
  const auto type = plan.parameters.find("failure_type");
  if (type != plan.parameters.end() && !contains(types, type->second)) {
    return fail(Errc::kRefused, fmt::format("failure type {} is not among those allowed", type->second),
                "parameters.failure_type", section + "failure_types",
                fmt::format("allowed: {}", fmt::join(types, ", ")));
  }
  const auto service = plan.request.target.find("service");
  if (service == plan.request.target.end()) return {};
  for (const std::string& name : service->second) {
    if (contains(services, name)) continue;
    return fail(
        Errc::kRefused, fmt::format("service {} is not among those that component failures may hit", name),
        "target.service", section + "target_services",
        services.empty() ? "none is: add it there and reload" : fmt::format("allowed: {}", fmt::join(services, ", ")));
  }
  return {};
}

Status check_slot(const ChaosTesting& policy, const ActiveSet& active) {
  if (active.ahead < policy.queue_limit) return {};
  if (policy.queue_limit == 0) {
    return fail(Errc::kRefused,
                fmt::format("{} scenarios run already, the limit is {}", active.footprints.size(),
                            policy.max_concurrent_scenarios),
                {}, "chaos_testing.max_concurrent_scenarios", "stop one, or wait for its end (chaosctl list)");
  }
  return fail(Errc::kRefused,
              fmt::format("{} scenarios run and {} wait already, the limit of the queue is {}",
                          active.footprints.size(), active.ahead, policy.queue_limit),
              {}, "chaos_testing.queue_limit", "stop one, or try again when one has ended (chaosctl list)");
}

}  // namespace

Status check_brakes(const Brakes& brakes) {
  if (brakes.latched) {
    return fail(Errc::kRefused, "the emergency stop is latched: nothing starts", {}, "emergency stop latch",
                "when the cause is dealt with: chaosctl rearm");
  }
  if (brakes.audit_broken) {
    return fail(Errc::kRefused, "the audit log cannot be written: nothing starts", {}, "audit before action",
                "see `chaosctl health` and the store's disk");
  }
  return {};
}

Status check_again(const Plan& plan, const ChaosTesting& policy, const std::vector<Footprint>& others) {
  Status status = check_kind(plan, policy);
  if (status) status = check_severity(plan, policy);
  if (status) status = check_duration(plan, policy);
  if (status) status = check_bounds(*plan.kind, plan.parameters, parameter_policy(policy_of(plan, policy)));
  if (status) status = check_component_failure(plan, policy);
  if (status) status = check_blast_radius(plan, policy, others);
  return status;
}

Result<std::optional<AdmittedPlan>> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active) {
  Status status = check_brakes(active.brakes);
  if (status) status = check_kind(plan, policy);
  if (status) status = check_severity(plan, policy);
  if (status) status = check_reason(plan, policy);
  if (status) status = check_duration(plan, policy);
  if (status) status = check_protected(plan);
  if (status) status = check_component_failure(plan, policy);
  if (status) status = check_hours(policy, active.now);
  if (status) status = check_blast_radius(plan, policy, active.footprints);
  if (!status) return std::unexpected(status.error());
  if (active.footprints.size() < policy.max_concurrent_scenarios && active.ahead == 0) {
    return AdmittedPlan(std::move(plan));
  }
  if (status = check_slot(policy, active); !status) return std::unexpected(status.error());
  return std::nullopt;
}

}  // namespace chaos
