// Config: what chaosd.yaml says, as plain structs with the shipped defaults. Values only; any thread. A Config that
// comes from config/load.h has passed every rule of the schema (config/schema.h) and the rules between fields.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/units.h"

namespace chaos {

/// Limits of one parameter, in the form that users write ("50%", "200ms"). Both inclusive; min <= max.
struct ParameterBounds {
  std::optional<std::string> min;
  std::optional<std::string> max;
  friend bool operator==(const ParameterBounds&, const ParameterBounds&) = default;
};

/// `chaos_testing.scenarios.KIND`: what policy allows for one kind.
struct KindPolicy {
  bool enabled = true;
  std::vector<int> severity_levels{1, 2, 3, 4, 5};           ///< any other severity is refused
  std::optional<Probability> blast_radius_limit;             ///< overrides chaos_testing.blast_radius_limit
  std::map<std::string, ParameterBounds> bounds;             ///< by parameter
  std::map<std::string, std::vector<std::string>> severity;  ///< by parameter: replaces the kind's own presets
  friend bool operator==(const KindPolicy&, const KindPolicy&) = default;
};

/// By kind name; holds every kind of CONTRACT, whether or not the file mentions it.
using KindPolicies = std::map<std::string, KindPolicy, std::less<>>;
[[nodiscard]] KindPolicies default_kind_policies();

/// Severity scales of `resource_exhaustion` as the original configuration writes them, in percent.
struct ResourceExhaustionScales {
  std::vector<int> memory_pressure{50, 70, 90};
  std::vector<int> cpu_throttle{50, 70, 90};
  friend bool operator==(const ResourceExhaustionScales&, const ResourceExhaustionScales&) = default;
};

struct ComponentFailureLists {
  std::vector<std::string> target_services{"log-collector", "message-queue", "log-processor"};
  std::vector<std::string> failure_types{"crash", "hang", "slow_response"};
  friend bool operator==(const ComponentFailureLists&, const ComponentFailureLists&) = default;
};

/// "mon-fri 09:00-17:00". `to` before or at `from`: until that time of the next day.
struct TimeWindow {
  std::uint8_t days = 0;  ///< bit 0 is Monday, bit 6 Sunday: the days on which the window opens
  std::chrono::minutes from{0};
  std::chrono::minutes to{0};  ///< at most 24:00
  friend bool operator==(const TimeWindow&, const TimeWindow&) = default;
};

struct AllowedHours {
  std::string time_zone = "UTC";    ///< "UTC", "local" or a name of the tz database
  std::vector<TimeWindow> windows;  ///< empty: at all times
  friend bool operator==(const AllowedHours&, const AllowedHours&) = default;
};

/// What a reload does with active scenarios that the new policy would refuse.
enum class OnReload : std::uint8_t { kKeep, kEnd };

/// How packet programs are attached: tcx where the kernel has it (6.6), classic tc (clsact) elsewhere.
enum class PacketHookChoice : std::uint8_t { kAuto, kTcx, kClsact };

struct ChaosTesting {
  std::chrono::nanoseconds default_duration = std::chrono::seconds(300);
  std::chrono::nanoseconds safety_timeout = std::chrono::seconds(600);  ///< longest duration accepted
  Probability blast_radius_limit = Probability::from_ppb(300'000'000);
  unsigned max_concurrent_scenarios = 3;
  unsigned queue_limit = 16;
  std::chrono::nanoseconds queue_timeout = std::chrono::seconds(600);  ///< longest wait for a turn
  int max_severity = 5;
  int require_reason_above_severity = 5;  ///< 5: never required, 0: always
  AllowedHours allowed_hours;
  OnReload on_reload = OnReload::kKeep;
  PacketHookChoice packet_hook = PacketHookChoice::kAuto;
  KindPolicies scenarios = default_kind_policies();
  ResourceExhaustionScales resource_exhaustion;
  ComponentFailureLists component_failure;
  friend bool operator==(const ChaosTesting&, const ChaosTesting&) = default;
};

struct Monitoring {
  std::chrono::nanoseconds metrics_interval = std::chrono::seconds(5);
  std::chrono::nanoseconds health_check_timeout = std::chrono::seconds(10);
  std::vector<std::string> critical_metrics{"log_processing_rate", "message_queue_depth", "system_memory_usage",
                                            "network_latency"};
  friend bool operator==(const Monitoring&, const Monitoring&) = default;
};

struct Recovery {
  bool auto_recovery_enabled = true;
  unsigned max_recovery_attempts = 3;
  std::vector<std::string> recovery_validation_steps{"service_health_check", "data_consistency_check",
                                                     "performance_baseline_check"};
  friend bool operator==(const Recovery&, const Recovery&) = default;
};

/// How the health of a service is asked for; the field that belongs to `type` is set.
struct HealthProbe {
  std::string type;                                  ///< unit | tcp | http | command
  std::string address;                               ///< tcp: HOST:PORT
  std::string url;                                   ///< http
  unsigned expect_status = 200;                      ///< http
  std::vector<std::string> command;                  ///< command: argv, no shell; exit status 0 is healthy
  std::optional<std::chrono::nanoseconds> interval;  ///< unset: monitoring.metrics_interval
  std::optional<std::chrono::nanoseconds> timeout;   ///< unset: monitoring.health_check_timeout
  friend bool operator==(const HealthProbe&, const HealthProbe&) = default;
};

/// One configured service. Exactly one of unit, cgroup, container, pid_file, process is set: it says where it runs.
struct Service {
  std::string unit;       ///< systemd unit, with its suffix
  std::string cgroup;     ///< path in the v2 tree, from its root ("/system.slice/x.service")
  std::string container;  ///< id or name
  std::string pid_file;   ///< absolute path
  std::string process;    ///< comm, or the absolute path of the executable
  std::vector<std::uint16_t> ports;
  double weight = 1.0;  ///< share of the blast radius population
  std::optional<HealthProbe> health;
  std::vector<std::string> consistency_command;  ///< argv; exit status 0 means that the data is consistent
  friend bool operator==(const Service&, const Service&) = default;
};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;  ///< inclusive
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

/// What no fault may hit, beside what chaosd always protects (SSH, ARP, ND, DHCP).
struct Protect {
  std::vector<std::string> cidrs;  ///< checked: addresses or prefixes with zero host bits, IPv4 or IPv6
  std::vector<PortRange> ports;    ///< on either end, any protocol that has ports
  std::vector<std::string> units;
  std::vector<std::string> cgroups;
  std::vector<std::string> paths;
  std::vector<std::uint32_t> uids;
  friend bool operator==(const Protect&, const Protect&) = default;
};

struct Api {
  std::string operate_group = "chaos";    ///< group of chaosd.sock, may operate
  std::string view_group = "chaos-view";  ///< group of chaosd-view.sock, may read
  std::uint64_t max_request_bytes = 64 * 1024;
  std::chrono::nanoseconds request_timeout = std::chrono::seconds(10);
  unsigned max_clients = 512;
  friend bool operator==(const Api&, const Api&) = default;
};

/// Where a critical metric that chaosd cannot measure itself comes from.
struct MetricSource {
  std::string type;                  ///< prometheus | json | command | file
  std::string url;                   ///< prometheus, json
  std::string metric;                ///< prometheus: name of the series
  std::string pointer;               ///< json: RFC 6901 pointer to the number
  std::vector<std::string> command;  ///< command: argv; prints one number
  std::string path;                  ///< file: holds one number
  friend bool operator==(const MetricSource&, const MetricSource&) = default;
};

struct Telemetry {
  std::chrono::nanoseconds interval = std::chrono::seconds(1);  ///< while a scenario is active
  std::chrono::nanoseconds history = std::chrono::hours(1);     ///< kept in memory at full resolution
  bool ebpf = true;                                             ///< false: kernel counters only
  std::map<std::string, MetricSource> sources;                  ///< by metric name
  friend bool operator==(const Telemetry&, const Telemetry&) = default;
};

struct Metrics {
  std::string listen;  ///< "127.0.0.1:9750"; empty: off
  friend bool operator==(const Metrics&, const Metrics&) = default;
};

struct LogFile {
  std::string path;  ///< empty: no file
  std::uint64_t rotate_size = 10ULL * 1024 * 1024;
  unsigned rotate_count = 5;
  friend bool operator==(const LogFile&, const LogFile&) = default;
};

struct Log {
  std::string level = "info";  ///< a name that set_log_level takes
  JournaldUse journald = JournaldUse::kAuto;
  LogFile file;
  friend bool operator==(const Log&, const Log&) = default;
};

struct Store {
  std::string path;                                              ///< empty: chaosd.db in the state directory
  std::chrono::nanoseconds retention = std::chrono::hours(720);  ///< what ended longer ago is deleted
  bool history = true;                                           ///< metrics, beyond telemetry.history
  std::chrono::nanoseconds history_step = std::chrono::minutes(1);
  std::chrono::nanoseconds history_retention = std::chrono::hours(168);
  std::uint64_t history_size = 128ULL * 1024 * 1024;
  friend bool operator==(const Store&, const Store&) = default;
};

struct Webhook {
  std::string url;
  std::vector<std::string> events{"start", "end"};  ///< start, end, emergency_stop
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  unsigned retries = 3;
  friend bool operator==(const Webhook&, const Webhook&) = default;
};

struct Config {
  ChaosTesting chaos_testing;
  Monitoring monitoring;
  Recovery recovery;
  std::map<std::string, Service> services;
  Protect protect;
  Api api;
  Telemetry telemetry;
  Metrics metrics;
  Log log;
  Store store;
  std::vector<Webhook> webhooks;
  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace chaos
