#include "config/rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/kinds.h"
#include "config/value.h"

namespace chaos::config_detail {
namespace {

Error broken(std::string message, std::string rule, std::string hint) {
  return Error{Errc::kInvalid, std::move(message), {}, std::move(rule), std::move(hint)};
}

void check_durations(const ChaosTesting& testing, Findings& findings) {
  const std::string duration = "chaos_testing.default_duration";
  const std::string timeout = "chaos_testing.safety_timeout";
  if (findings.has_error_under(duration) || findings.has_error_under(timeout)) return;
  if (testing.default_duration <= testing.safety_timeout) return;
  const std::string& field = findings.has(duration) ? duration : timeout;
  findings.add_error(
      field, broken(fmt::format("default_duration ({}) is longer than safety_timeout ({})",
                                format_duration(testing.default_duration), format_duration(testing.safety_timeout)),
                    "default_duration <= safety_timeout", "lower one or raise the other"));
}

std::optional<long double> magnitude_of(const KindParameter& parameter, const std::string& text) {
  const auto value = parse_parameter_value(parameter, {text});
  return value ? std::optional(value->magnitude) : std::nullopt;
}

void check_bounds(const std::string& path, const KindParameter& parameter, const ParameterBounds& bounds,
                  const std::vector<std::string>& steps, Findings& findings) {
  const auto low = bounds.min ? magnitude_of(parameter, *bounds.min) : std::nullopt;
  const auto high = bounds.max ? magnitude_of(parameter, *bounds.max) : std::nullopt;
  const std::string field = fmt::format("{}.bounds.{}", path, parameter.name);
  if (low && high && *low > *high) {
    findings.add_error(field + ".min", broken(fmt::format("min ({}) is above max ({})", *bounds.min, *bounds.max),
                                              "min <= max", "swap the two"));
    return;
  }
  for (const std::string& step : steps) {
    const auto value = magnitude_of(parameter, step);
    if (!value || (!(low && *value < *low) && !(high && *value > *high))) continue;
    findings.add_warning(fmt::format("{}.severity.{}", path, parameter.name),
                         fmt::format("{} is outside of bounds: a severity that uses it is always refused", step));
  }
}

void check_kind(const std::string& name, const KindPolicy& policy, int max_severity, Findings& findings) {
  const KindEntry* kind = find_config_kind(name);
  const std::string path = "chaos_testing.scenarios." + name;
  if (kind == nullptr || findings.has_error_under(path)) return;
  for (const auto& [parameter_name, bounds] : policy.bounds) {
    const KindParameter* parameter = find_config_parameter(*kind, parameter_name);
    const auto steps = policy.severity.find(parameter_name);
    if (parameter == nullptr) continue;
    check_bounds(path, *parameter, bounds, steps == policy.severity.end() ? std::vector<std::string>{} : steps->second,
                 findings);
  }
  for (const auto& [parameter_name, steps] : policy.severity) {
    if (steps.size() <= 5) continue;
    findings.add_warning(fmt::format("{}.severity.{}", path, parameter_name),
                         fmt::format("{} steps for 5 severities: some are never used", steps.size()));
  }
  if (findings.has(path) && policy.enabled && std::ranges::min(policy.severity_levels) > max_severity) {
    findings.add_warning(path + ".severity_levels",
                         fmt::format("every level is above max_severity ({}): all is refused", max_severity));
  }
}

void check_target_services(const Config& config, Findings& findings) {
  const std::string path = "chaos_testing.scenarios.component_failure.target_services";
  if (!findings.has(path)) return;
  std::vector<std::string> undefined;
  for (const std::string& name : config.chaos_testing.component_failure.target_services) {
    if (!config.services.contains(name)) undefined.push_back(name);
  }
  if (undefined.empty()) return;
  findings.add_warning(path, fmt::format("not defined under services, so a scenario aimed at it is refused: {}",
                                         fmt::join(undefined, ", ")));
}

using NamedField = std::pair<std::string_view, bool>;  ///< name, is set

/// `type` wants one field of several; the others must not be there.
void check_fields_of_type(const std::string& path, std::string_view type, std::span<const std::string_view> wanted,
                          std::span<const NamedField> fields, Findings& findings) {
  for (const auto& [name, is_set] : fields) {
    const bool belongs = std::ranges::find(wanted, name) != wanted.end();
    const std::string field = fmt::format("{}.{}", path, name);
    if (belongs && !is_set) {
      findings.add_error(field, broken(fmt::format("is missing: type {} needs it", type),
                                       fmt::format("required for type {}", type), fmt::format("add {}:", name)));
    } else if (!belongs && is_set) {
      findings.add_error(field, broken(fmt::format("does not belong to type {}", type),
                                       fmt::format("not with type {}", type), "remove it or change the type"));
    }
  }
}

void check_health(const std::string& path, const Service& service, Findings& findings) {
  const HealthProbe& health = *service.health;
  const std::array<NamedField, 3> fields{
      {{"address", !health.address.empty()}, {"url", !health.url.empty()}, {"command", !health.command.empty()}}};
  std::vector<std::string_view> wanted;
  if (health.type == "tcp") wanted = {"address"};
  if (health.type == "http") wanted = {"url"};
  if (health.type == "command") wanted = {"command"};
  check_fields_of_type(path, health.type, wanted, fields, findings);
  if (health.type == "unit" && service.unit.empty()) {
    findings.add_error(path + ".type",
                       broken("type unit asks systemd, but the service has no unit", "type unit only with unit",
                              "give the service a unit: or probe otherwise"));
  }
  if (health.type != "http" && findings.has(path + ".expect_status")) {
    findings.add_error(path + ".expect_status", broken(fmt::format("does not belong to type {}", health.type),
                                                       "only with type http", "remove it or change the type"));
  }
}

void check_service(const std::string& name, const Service& service, Findings& findings) {
  const std::string path = "services." + name;
  if (findings.has_error_under(path)) return;
  const std::array<NamedField, 5> places{{{"unit", !service.unit.empty()},
                                          {"cgroup", !service.cgroup.empty()},
                                          {"container", !service.container.empty()},
                                          {"pid_file", !service.pid_file.empty()},
                                          {"process", !service.process.empty()}}};
  std::vector<std::string_view> given;
  for (const auto& [place, is_set] : places) {
    if (is_set) given.push_back(place);
  }
  if (given.size() != 1) {
    const std::string what = given.empty()
                                 ? "nothing says where it runs"
                                 : fmt::format("more than one says where it runs: {}", fmt::join(given, ", "));
    findings.add_error(path, broken(what, "exactly one of unit, cgroup, container, pid_file, process",
                                    given.empty() ? "add one, for example unit: nginx.service" : "keep one"));
  }
  const std::size_t kMaxComm = 15;
  if (!service.process.empty() && service.process[0] != '/' && service.process.size() > kMaxComm) {
    findings.add_error(
        path + ".process",
        broken(fmt::format("\"{}\" can be no process name: the kernel keeps 15 characters", service.process),
               "max 15 characters, or an absolute path",
               fmt::format("use \"{}\" or the path of the executable",
                           std::string_view(service.process).substr(0, kMaxComm))));
  }
  if (service.health) check_health(path + ".health", service, findings);
}

void check_source(const std::string& name, const MetricSource& source, Findings& findings) {
  const std::string path = "telemetry.sources." + name;
  if (findings.has_error_under(path)) return;
  const bool has_pointer = findings.has(path + ".pointer");
  const std::array<NamedField, 5> fields{{{"url", !source.url.empty()},
                                          {"metric", !source.metric.empty()},
                                          {"pointer", has_pointer},
                                          {"command", !source.command.empty()},
                                          {"path", !source.path.empty()}}};
  std::vector<std::string_view> wanted;
  if (source.type == "prometheus") wanted = {"url", "metric"};
  if (source.type == "json") wanted = {"url"};
  if (source.type == "command") wanted = {"command"};
  if (source.type == "file") wanted = {"path"};
  if (source.type == "json" && has_pointer) wanted.emplace_back("pointer");
  check_fields_of_type(path, source.type, wanted, fields, findings);
}

void check_history(const Config& config, Findings& findings) {
  const std::string step = "store.history_step";
  const std::string span = "telemetry.history";
  if (findings.has_error_under(step) || findings.has_error_under(span)) return;
  if (!config.store.history || config.store.history_step <= config.telemetry.history) return;
  const std::string& field = findings.has(step) ? step : span;
  findings.add_error(
      field, broken(fmt::format("history_step ({}) is longer than what is kept in memory (telemetry.history, {})",
                                format_duration(config.store.history_step), format_duration(config.telemetry.history)),
                    "store.history_step <= telemetry.history", "lower one or raise the other"));
}

void check_listen(const Metrics& metrics, Findings& findings) {
  const std::string_view listen = metrics.listen;
  const std::string_view host = listen.substr(0, listen.rfind(':'));
  if (listen.empty() || host.starts_with("127.") || host == "localhost" || host == "[::1]") return;
  findings.add_warning("metrics.listen",
                       fmt::format("{} may be reachable from the network, without any login", listen));
}

}  // namespace

void check_rules(const Config& config, Findings& findings) {
  check_durations(config.chaos_testing, findings);
  for (const auto& [name, policy] : config.chaos_testing.scenarios) {
    check_kind(name, policy, config.chaos_testing.max_severity, findings);
  }
  check_target_services(config, findings);
  for (const auto& [name, service] : config.services) check_service(name, service, findings);
  for (const auto& [name, source] : config.telemetry.sources) check_source(name, source, findings);
  check_history(config, findings);
  check_listen(config.metrics, findings);
}

}  // namespace chaos::config_detail
