#include "telemetry/prober.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "telemetry/probe_engine.h"

namespace chaos {
namespace {

constexpr std::uint32_t kMicro = 1'000'000;

constexpr MetricSpec kHealthy{
    "chaosd_service_healthy", MetricType::kGauge, "", 1, "1: the service's last health probe passed.", {"service"}};
constexpr MetricSpec kChecks{"chaosd_service_health_checks_total",
                             MetricType::kCounter,
                             "",
                             1,
                             "Health probes of the service that have ended.",
                             {"service", "result"}};
constexpr MetricSpec kTook{"chaosd_service_health_check_duration_seconds",   MetricType::kGauge, "seconds", kMicro,
                           "How long the service's last health probe took.", {"service"}};
constexpr MetricSpec kRoundTrip{"chaosd_service_connect_round_trip_seconds",
                                MetricType::kGauge,
                                "seconds",
                                kMicro,
                                "How long the last tcp or http probe took to connect.",
                                {"service"}};
constexpr MetricSpec kCritical{
    "chaosd_critical_metric", MetricType::kGauge, "", kMicro, "The critical metrics of the configuration.", {"metric"}};
constexpr MetricSpec kMissing{"chaosd_critical_metric_missing",
                              MetricType::kGauge,
                              "",
                              1,
                              "1: the critical metric cannot be had: no source, or it did not answer.",
                              {"metric"}};

std::int64_t in_us(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

}  // namespace

std::string_view to_string(Health health) {
  static constexpr std::array<std::string_view, 3> kNames{"unknown", "healthy", "unhealthy"};
  return kNames.at(static_cast<std::size_t>(health));
}

nlohmann::json to_json(const ServiceHealth& health) {
  nlohmann::json value{{"state", to_string(health.state)}};
  if (health.state == Health::kUnknown) return value;
  value["since"] = format_rfc3339(health.since);
  value["checked_at"] = format_rfc3339(health.checked_at);
  value["took_ms"] = std::chrono::duration<double, std::milli>(health.took).count();
  if (!health.reason.empty()) value["reason"] = health.reason;
  return value;
}

Prober::Prober(EventLoop& loop, Observer changed) : loop_(loop), changed_(std::move(changed)) {}
Prober::~Prober() = default;

void Prober::configure(const Config& config) {
  const Monitoring& monitoring = config.monitoring;
  std::vector<Task> tasks;
  for (const auto& [name, service] : config.services) {
    if (!service.health) continue;
    const HealthProbe& probe = *service.health;
    const std::string& where = probe.type == "unit" ? service.unit : probe.type == "tcp" ? probe.address : probe.url;
    tasks.push_back({name, true, probe.type, where, "", probe.command, probe.expect_status,
                     probe.interval.value_or(monitoring.metrics_interval),
                     probe.timeout.value_or(monitoring.health_check_timeout)});
  }
  for (const auto& [name, source] : config.telemetry.sources) {
    const std::string& where = source.type == "file" ? source.path : source.url;
    const std::string& what = source.type == "json" ? source.pointer : source.metric;
    tasks.push_back({name, false, source.type, where, what, source.command, 200, monitoring.metrics_interval,
                     monitoring.health_check_timeout});
  }
  critical_ = monitoring.critical_metrics;
  services_ = config.services;
  std::erase_if(health_, [&](const auto& one) {
    const auto service = config.services.find(one.first);
    return service == config.services.end() || !service->second.health;
  });
  std::erase_if(readings_, [&](const auto& one) { return !config.telemetry.sources.contains(one.first); });
  std::erase_if(round_trips_, [&](const auto& one) { return !health_.contains(one.first); });
  for (const Task& task : tasks) {
    if (task.is_health) health_.try_emplace(task.name);
  }
  if (engine_ && engine_->tasks() == tasks) return;
  if (engine_) {
    engine_->stop();
    retired_.push_back(std::move(engine_));
  }
  std::erase_if(retired_, [](const auto& engine) { return engine->has_stopped(); });
  // What the old one has reported and the loop has not taken yet is not about these any more.
  alive_ = std::make_shared<bool>(true);
  if (tasks.empty()) return;
  engine_ = std::make_unique<Engine>(std::move(tasks),
                                     [this, weak = std::weak_ptr(alive_)](const Task& task, Outcome outcome) {
                                       loop_.post([this, weak, task, outcome = std::move(outcome)] {
                                         if (!weak.expired()) take(task, outcome);
                                       });
                                     });
}

void Prober::take(const Task& task, const Outcome& outcome) {
  if (task.is_health) return take_health(task.name, outcome);
  SourceReading& reading = readings_[task.name];
  if (!outcome.problem.empty() && reading.problem.empty()) {
    spdlog::warn("critical metric {}: {}", task.name, outcome.problem);
  }
  reading = {outcome.number, outcome.problem};
}

void Prober::take_health(const std::string& service, const Outcome& outcome) {
  ServiceHealth& health = health_[service];
  const Health state = outcome.problem.empty() ? Health::kHealthy : Health::kUnhealthy;
  const bool changed = health.state != state;
  health.checked_at = system_clock().wall();
  health.took = outcome.took;
  health.reason = outcome.problem;
  ++(state == Health::kHealthy ? health.passed : health.failed);
  if (outcome.round_trip) {
    round_trips_[service] = *outcome.round_trip;
  } else {
    round_trips_.erase(service);
  }
  if (!changed) return;
  health.state = state;
  health.since = health.checked_at;
  changed_(service, health);
}

std::vector<OwnValue> Prober::values() const {
  std::vector<OwnValue> values;
  for (const auto& [name, health] : health_) {
    values.push_back({&kChecks, {name, "passed"}, static_cast<std::int64_t>(health.passed)});
    values.push_back({&kChecks, {name, "failed"}, static_cast<std::int64_t>(health.failed)});
    if (health.state == Health::kUnknown) continue;
    values.push_back({&kHealthy, {name}, health.state == Health::kHealthy ? 1 : 0});
    values.push_back({&kTook, {name}, in_us(health.took)});
  }
  for (const auto& [name, time] : round_trips_) values.push_back({&kRoundTrip, {name}, in_us(time)});
  for (const std::string& name : critical_) {
    if (name == "system_memory_usage") continue;  // the memory collector's
    std::optional<double> value;
    if (name == "network_latency") {
      const auto slowest = std::ranges::max_element(round_trips_, {}, [](const auto& one) { return one.second; });
      if (slowest != round_trips_.end()) value = std::chrono::duration<double>(slowest->second).count();
    } else if (const auto reading = readings_.find(name); reading != readings_.end()) {
      value = reading->second.value;
    }
    constexpr double kMost = 9e12;  // in millionths, what 63 bits hold
    const bool there = value && std::abs(*value) < kMost;
    values.push_back({&kMissing, {name}, there ? 0 : 1});
    if (there) values.push_back({&kCritical, {name}, std::llround(*value * kMicro)});
  }
  return values;
}

}  // namespace chaos
