// Whole documents: what loads, what is reported, where errors point.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "config_helpers.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const std::filesystem::path kSource = CHAOS_SOURCE_DIR;

std::string first_message(std::string_view yaml) {
  const auto config = parse_config(yaml, kFile);
  return config ? "" : config.error().message;
}

TEST(ConfigLoad, OriginalLoadsVerbatim) {
  const auto report = load_config(kSource / "tests/unit/fixtures/original.yaml");
  ASSERT_TRUE(report) << report.error().message;
  const ChaosTesting& testing = report->config.chaos_testing;
  EXPECT_EQ(testing.default_duration, 300s);
  EXPECT_EQ(testing.safety_timeout, 600s);
  EXPECT_EQ(testing.blast_radius_limit, Probability::from_ppb(300'000'000));
  EXPECT_THAT(testing.scenarios.at("network_partition").severity_levels, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(testing.resource_exhaustion.memory_pressure, ElementsAre(50, 70, 90));
  EXPECT_THAT(testing.resource_exhaustion.cpu_throttle, ElementsAre(50, 70, 90));
  EXPECT_THAT(testing.component_failure.target_services,
              ElementsAre("log-collector", "message-queue", "log-processor"));
  EXPECT_THAT(testing.component_failure.failure_types, ElementsAre("crash", "hang", "slow_response"));
  EXPECT_EQ(report->config.monitoring.metrics_interval, 5s);
  EXPECT_EQ(report->config.monitoring.health_check_timeout, 10s);
  EXPECT_THAT(report->config.monitoring.critical_metrics, testing::SizeIs(4));
  EXPECT_TRUE(report->config.recovery.auto_recovery_enabled);
  EXPECT_EQ(report->config.recovery.max_recovery_attempts, 3U);
  EXPECT_THAT(report->config.recovery.recovery_validation_steps, testing::SizeIs(3));
  // The original is also what chaosd does without any file.
  EXPECT_EQ(report->config, Config{});
}

TEST(ConfigLoad, OriginalNamesServicesThatNothingDefines) {
  const auto report = load_config(kSource / "tests/unit/fixtures/original.yaml");
  ASSERT_TRUE(report);
  EXPECT_THAT(report->warnings, ElementsAre(HasSubstr("log-collector, message-queue, log-processor")));
  EXPECT_THAT(report->warnings[0], HasSubstr("original.yaml:15:24: chaos_testing.scenarios.component_failure."));
}

TEST(ConfigLoad, ShippedFileIsTheDefaults) {
  const auto report = load_config(kSource / "config/chaosd.yaml");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->config, Config{});
}

TEST(ConfigLoad, EmptyDocumentsAreTheDefaults) {
  for (const std::string_view yaml : {"", "\n", "# nothing\n", "---\n", "{}", "services:\nprotect:\nwebhooks:\n"}) {
    const auto report = check_config(yaml, kFile);
    ASSERT_TRUE(report) << yaml << messages(report.error());
    EXPECT_EQ(report->config, Config{}) << yaml;
    EXPECT_THAT(report->warnings, IsEmpty());
    EXPECT_THAT(report->not_in_effect, IsEmpty());
  }
}

TEST(ConfigLoad, AllKeysAreInEffect) {
  const auto report = check_config(R"(
chaos_testing:
  default_duration: 5m
  queue_limit: 4
  scenarios:
    packet_loss: {enabled: true, severity_levels: [1], blast_radius_limit: 50%}
    syscall_latency: {enabled: false}
services:
  redis: {unit: redis.service, health: {type: unit}}
protect:
  ports: [22]
  uids: [0]
  paths: [/srv]
webhooks:
  - url: https://example.com/hook
)",
                                   kFile);
  ASSERT_TRUE(report) << messages(report.error());
  EXPECT_THAT(report->not_in_effect, IsEmpty());
  EXPECT_FALSE(report->config.chaos_testing.scenarios.at("syscall_latency").enabled);
  EXPECT_EQ(report->config.services.at("redis").unit, "redis.service");
  EXPECT_THAT(report->config.webhooks, testing::SizeIs(1));
}

TEST(ConfigLoad, ValuesOfEveryShapeAreKept) {
  const auto config = parse_config(R"(
chaos_testing:
  allowed_hours: {time_zone: local, windows: [mon-fri 09:00-17:00, "22:00-06:00"]}
  on_reload: end
  scenarios:
    packet_loss:
      blast_radius_limit: 0.5
      bounds: {probability: {max: 50%}, max_events: {min: 1, max: 1000000}}
      severity: {probability: [1%, 5%, 0.2]}
services:
  redis:
    cgroup: /system.slice/redis.service
    ports: [6379, 16379]
    weight: 2.5
    health: {type: tcp, address: "127.0.0.1:6379", interval: 2, timeout: 500ms}
    consistency: {command: [redis-cli, ping]}
protect: {cidrs: [10.0.0.0/8, "fd00::/8"], ports: [22, 6000-6010], uids: [0, 1000]}
metrics: {listen: 127.0.0.1:9750}
log: {level: debug, journald: "off", file: {path: /var/log/chaosd.log, rotate_size: 1MiB, rotate_count: 2}}
telemetry: {sources: {log_processing_rate: {type: json, url: "http://localhost/x", pointer: /rate}}}
)",
                                   kFile);
  ASSERT_TRUE(config) << config.error().message;
  const AllowedHours& hours = config->chaos_testing.allowed_hours;
  EXPECT_EQ(hours.time_zone, "local");
  EXPECT_THAT(hours.windows, ElementsAre(TimeWindow{0x1f, 9h, 17h}, TimeWindow{0x7f, 22h, 6h}));
  EXPECT_EQ(config->chaos_testing.on_reload, OnReload::kEnd);
  const KindPolicy& loss = config->chaos_testing.scenarios.at("packet_loss");
  EXPECT_EQ(loss.blast_radius_limit, Probability::from_ppb(500'000'000));
  EXPECT_EQ(loss.bounds.at("probability"), (ParameterBounds{{}, "50%"}));
  EXPECT_EQ(loss.bounds.at("max_events"), (ParameterBounds{"1", "1000000"}));
  EXPECT_THAT(loss.severity.at("probability"), ElementsAre("1%", "5%", "0.2"));
  const Service& redis = config->services.at("redis");
  EXPECT_THAT(redis.ports, ElementsAre(6379, 16379));
  EXPECT_EQ(redis.weight, 2.5);
  ASSERT_TRUE(redis.health);
  EXPECT_EQ(redis.health->interval, 2s);
  EXPECT_EQ(redis.health->timeout, 500ms);
  EXPECT_THAT(redis.consistency_command, ElementsAre("redis-cli", "ping"));
  EXPECT_THAT(config->protect.ports, ElementsAre(PortRange{22, 22}, PortRange{6000, 6010}));
  EXPECT_THAT(config->protect.uids, ElementsAre(0, 1000));
  EXPECT_EQ(config->metrics.listen, "127.0.0.1:9750");
  EXPECT_EQ(config->log.level, "debug");
  EXPECT_EQ(config->log.journald, JournaldUse::kOff);
  EXPECT_EQ(config->log.file, (LogFile{"/var/log/chaosd.log", 1 << 20, 2}));
  EXPECT_EQ(config->telemetry.sources.at("log_processing_rate").pointer, "/rate");
}

TEST(ConfigLoad, ErrorsPointAtTheValue) {
  EXPECT_EQ(first_message("chaos_testing:\n  default_duration: soon\n"),
            "chaosd.yaml:2:21: chaos_testing.default_duration: expected a duration (300, 30s, 5m), got \"soon\"");
  EXPECT_EQ(first_message("protect:\n  ports:\n    - 22\n    - ssh\n"),
            "chaosd.yaml:4:7: protect.ports[1]: expected a port or a range of ports (443, 6000-6010), got \"ssh\"");
  EXPECT_EQ(first_message("log:\n  level:\n"), "chaosd.yaml:2:3: log.level: has no value: expected one of a list");
}

TEST(ConfigLoad, UnknownKeysPointAtTheKey) {
  EXPECT_EQ(first_message("chaos_testing:\n  defualt_duration: 3\n"),
            "chaosd.yaml:2:3: chaos_testing.defualt_duration: unknown key \"defualt_duration\", did you mean "
            "\"default_duration\"?");
  EXPECT_EQ(first_message("chaos-testing: {}\n"),
            "chaosd.yaml:1:1: chaos-testing: unknown key \"chaos-testing\", did you mean \"chaos_testing\"?");
}

TEST(ConfigLoad, KeysInTheWrongSectionNameTheRightOne) {
  EXPECT_THAT(first_message("safety_timeout: 60\n"), HasSubstr("did you mean \"chaos_testing.safety_timeout\"?"));
}

TEST(ConfigLoad, UnknownKindsAndParametersAreRefused) {
  EXPECT_THAT(first_message("chaos_testing: {scenarios: {packet_los: {enabled: true}}}"),
              HasSubstr("unknown kind \"packet_los\", did you mean \"packet_loss\"?"));
  EXPECT_THAT(first_message("chaos_testing: {scenarios: {packet_loss: {severity: {probabilty: [1%]}}}}"),
              HasSubstr("unknown parameter \"probabilty\", did you mean \"probability\"?"));
  // A list of the original belongs to one kind only.
  EXPECT_THAT(first_message("chaos_testing: {scenarios: {packet_loss: {cpu_throttle: [50]}}}"),
              HasSubstr("unknown key \"cpu_throttle\""));
}

TEST(ConfigLoad, DuplicateKeysAreRefused) {
  EXPECT_EQ(first_message("log:\n  level: info\n  level: debug\n"),
            "chaosd.yaml:3:3: log.level: this key is given twice");
  EXPECT_THAT(first_message("log: {}\nlog: {}\n"), StartsWith("chaosd.yaml:2:1: log: this key is given twice"));
  EXPECT_THAT(first_message("services:\n  a: {unit: a.service}\n  a: {unit: b.service}\n"),
              StartsWith("chaosd.yaml:3:3: services.a: "));
}

TEST(ConfigLoad, AllErrorsAreGatheredInTheOrderOfLines) {
  const ConfigErrors errors = errors_of(R"(
chaos_testing:
  max_severity: 9
  nonsense: 1
api: {max_clients: none}
chaos_testing: {}
)");
  ASSERT_EQ(errors.size(), 4U) << messages(errors);
  EXPECT_EQ(errors[0].field, "chaos_testing.max_severity");
  EXPECT_EQ(errors[0].rule, "max 5");
  EXPECT_EQ(errors[1].field, "chaos_testing.nonsense");
  EXPECT_THAT(errors[1].hint, HasSubstr("default_duration, safety_timeout"));
  EXPECT_EQ(errors[2].field, "api.max_clients");
  EXPECT_EQ(errors[3].field, "chaos_testing");
  const auto folded = parse_config("log: {level: loud}\napi: {max_clients: 0}\n", kFile);
  ASSERT_FALSE(folded);
  EXPECT_EQ(folded.error().field, "log.level");
  EXPECT_THAT(folded.error().message, HasSubstr("\nchaosd.yaml:2:20: api.max_clients: 0 is too low (min 1)"));
}

TEST(ConfigLoad, BrokenYamlSaysWhere) {
  EXPECT_THAT(first_message("log:\n  level: [info\n"),
              testing::ContainsRegex("chaosd\\.yaml:[23]:[0-9]+: not valid YAML"));
  EXPECT_THAT(first_message("log: {level: *nowhere}"), HasSubstr("not valid YAML"));
  EXPECT_THAT(first_message("\tlog: 1"), HasSubstr("not valid YAML"));
  EXPECT_THAT(first_message("log: {}\n---\nlog: {}\n"), HasSubstr("a second YAML document"));
  EXPECT_THAT(first_message("log: {level: info}}"), HasSubstr("chaosd.yaml:1:19: not valid YAML"));
  // yaml-cpp 0.7's own loop over documents does not end on these.
  for (const std::string_view comma : {",", "# comment\n , x\nlog: {}\n"}) {
    EXPECT_THAT(first_message(comma), HasSubstr("a comma is out of place")) << comma;
  }
  EXPECT_THAT(first_message("? [a, b]\n: 1\n"), HasSubstr("a key must be a plain name"));
  EXPECT_THAT(first_message("just text"), HasSubstr("expected a mapping"));
  EXPECT_THAT(first_message("- a\n- b\n"), HasSubstr("expected a mapping"));
  EXPECT_THAT(first_message(std::string(5000, '[')), HasSubstr("not valid YAML"));
  EXPECT_THAT(first_message("log: {<<: {level: info}}"), HasSubstr("unknown key \"<<\""));
}

TEST(ConfigLoad, AliasesAreFollowedWithinLimits) {
  const auto config = parse_config("protect: {ports: &p [22]}\nservices: {a: {unit: a.service, ports: *p}}", kFile);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(config->services.at("a").ports, ElementsAre(22));
  std::string bomb = "protect:\n  units: &u [";
  for (int i = 0; i < 500; ++i) bomb += (i == 0 ? "u" : ", u") + std::to_string(i) + ".service";
  bomb += "]\nservices:\n";
  for (int i = 0; i < 60; ++i) bomb += "  s" + std::to_string(i) + ": {unit: x.service, consistency: {command: *u}}\n";
  EXPECT_THAT(first_message(bomb), HasSubstr("the document is too large"));
}

TEST(ConfigLoad, FilesThatCannotBeReadSayWhy) {
  const auto missing = load_config("/nonexistent/chaosd.yaml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("read /nonexistent/chaosd.yaml: ENOENT"));
  const auto directory = load_config("/tmp");
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("not a regular file"));
  const auto endless = load_config("/dev/zero");
  ASSERT_FALSE(endless);
  EXPECT_THAT(endless.error().message, HasSubstr("not a regular file"));
}

TEST(ConfigLoad, HugeFilesAreRefused) {
  const auto file = std::filesystem::temp_directory_path() / ("chaosd-huge-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(file) << std::string(2 * 1024 * 1024, '#');
  const auto report = load_config(file);
  std::filesystem::remove(file);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kTooLarge);
}

}  // namespace
}  // namespace chaos::test
