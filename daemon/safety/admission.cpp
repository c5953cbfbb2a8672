#include "safety/admission.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/contains.h"
#include "base/units.h"

namespace chaos {
namespace {

Status check_kind(const Plan& plan, const ChaosTesting& policy) {
  const std::string name(plan.kind->name);
  auto it = policy.scenarios.find(name);
  if (it == policy.scenarios.end()) return {};
  if (!it->second.enabled) {
    return fail(Errc::kRefused, name + " is disabled by the configuration", "kind",
                "chaos_testing.scenarios." + name + ".enabled");
  }
  if (!plan.request.severity) return {};
  const int severity = *plan.request.severity;
  if (severity > policy.max_severity) {
    return fail(Errc::kRefused, fmt::format("severity {} is above the limit of {}", severity, policy.max_severity),
                "severity", "chaos_testing.max_severity", fmt::format("{} or less fits", policy.max_severity));
  }
  if (!contains(it->second.severity_levels, severity)) {
    return fail(Errc::kRefused,
                fmt::format("severity {} is not among those allowed for {}: {}", severity, name,
                            fmt::join(it->second.severity_levels, ", ")),
                "severity", "chaos_testing.scenarios." + name + ".severity_levels");
  }
  return {};
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

}  // namespace

Status check_brakes(const ActiveSet& active) {
  if (active.latched) {
    return fail(Errc::kRefused, "the emergency stop is latched: nothing starts", {}, "emergency stop latch",
                "when the cause is dealt with: chaosctl rearm");
  }
  if (active.audit_broken) {
    return fail(Errc::kRefused, "the audit log cannot be written: nothing starts", {}, "audit before action",
                "see `chaosctl health` and the store's disk");
  }
  return {};
}

Result<AdmittedPlan> admit(Plan plan, const ChaosTesting& policy, const ActiveSet& active) {
  Status status = check_brakes(active);
  if (status) status = check_kind(plan, policy);
  if (status) status = check_duration(plan, policy);
  if (!status) return std::unexpected(status.error());
  if (active.running >= policy.max_concurrent_scenarios) {
    return fail(
        Errc::kRefused,
        fmt::format("{} scenarios run already, the limit is {}", active.running, policy.max_concurrent_scenarios), {},
        "chaos_testing.max_concurrent_scenarios", "stop one, or wait for its end (chaosctl list)");
  }
  return AdmittedPlan(std::move(plan));
}

}  // namespace chaos
