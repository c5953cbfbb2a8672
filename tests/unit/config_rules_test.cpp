// Rules between fields: each refuses one case and lets through the one just inside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/kinds.h"
#include "config_helpers.h"

namespace chaos::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> warnings_of(std::string_view yaml) {
  const auto report = check_config(yaml, kFile);
  return report ? report->warnings : std::vector<std::string>{"does not load: " + messages(report.error())};
}

std::string service(std::string_view body) { return "services: {redis: {" + std::string(body) + "}}"; }
std::string health(std::string_view body) { return service("unit: r.service, health: {" + std::string(body) + "}"); }
std::string source(std::string_view body) { return "telemetry: {sources: {rate: {" + std::string(body) + "}}}"; }

TEST(ConfigRules, DefaultDurationFitsIntoSafetyTimeout) {
  EXPECT_THAT(errors_of("chaos_testing: {default_duration: 60, safety_timeout: 1m}"), IsEmpty());
  const ConfigErrors errors = errors_of("chaos_testing:\n  safety_timeout: 1m\n  default_duration: 61\n");
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].message,
            "chaosd.yaml:3:21: chaos_testing.default_duration: default_duration (61s) is longer than safety_timeout "
            "(1m)");
  EXPECT_EQ(errors[0].rule, "default_duration <= safety_timeout");
  // The default takes part: the field that is in the file is the one at fault.
  const ConfigErrors lowered = errors_of("chaos_testing: {safety_timeout: 299}");
  ASSERT_EQ(lowered.size(), 1U);
  EXPECT_EQ(lowered[0].field, "chaos_testing.safety_timeout");
  // No second error about a value that could not be read.
  EXPECT_EQ(errors_of("chaos_testing: {safety_timeout: 1, default_duration: x}").size(), 1U);
}

TEST(ConfigRules, StepsOfTheHistoryFitIntoMemory) {
  EXPECT_THAT(errors_of("{telemetry: {history: 5m}, store: {history_step: 5m}}"), IsEmpty());
  const ConfigErrors errors = errors_of("{telemetry: {history: 1m}, store: {history_step: 5m}}");
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].field, "store.history_step");
  EXPECT_EQ(errors[0].rule, "store.history_step <= telemetry.history");
  EXPECT_THAT(errors_of("{telemetry: {history: 1m}, store: {history_step: 5m, history: false}}"), IsEmpty());
}

TEST(ConfigRules, ServicesRunInExactlyOnePlace) {
  for (const std::string_view place : {"unit: r.service", "cgroup: /r", "container: r", "pid_file: /run/r.pid",
                                       "process: redis-server", "process: /usr/bin/a-long-name-of-20"}) {
    EXPECT_THAT(errors_of(service(place)), IsEmpty()) << place;
  }
  EXPECT_THAT(messages(errors_of(service(""))), HasSubstr("services.redis: nothing says where it runs"));
  EXPECT_THAT(messages(errors_of("services: {redis: }")), HasSubstr("nothing says where it runs"));
  EXPECT_THAT(messages(errors_of(service("unit: r.service, container: r"))),
              HasSubstr("more than one says where it runs: unit, container"));
  EXPECT_THAT(messages(errors_of(service("process: a-name-of-16-byt"))), HasSubstr("the kernel keeps 15 characters"));
}

TEST(ConfigRules, ServiceNamesAreNames) {
  EXPECT_THAT(errors_of("services: {log-processor_2.a: {unit: r.service}}"), IsEmpty());
  for (const std::string_view name : {"\"\"", "-a", ".a", "\"a b\"", "a/b", "\"a\\nb\""}) {
    const std::string yaml = "services: {" + std::string(name) + ": {unit: r.service}}";
    EXPECT_THAT(messages(errors_of(yaml)), HasSubstr("cannot be a name")) << yaml;
  }
}

TEST(ConfigRules, HealthProbesHaveWhatTheirTypeNeeds) {
  for (const std::string_view good :
       {"type: unit", "type: tcp, address: 'localhost:1'", "type: http, url: 'http://localhost/', expect_status: 204",
        "type: command, command: [true]"}) {
    EXPECT_THAT(errors_of(health(good)), IsEmpty()) << good;
  }
  EXPECT_THAT(messages(errors_of(health("type: tcp"))), HasSubstr("health.address: is missing: type tcp needs it"));
  EXPECT_THAT(messages(errors_of(health("type: http"))), HasSubstr("health.url: is missing"));
  EXPECT_THAT(messages(errors_of(health("type: command"))), HasSubstr("health.command: is missing"));
  EXPECT_THAT(messages(errors_of(health("type: unit, url: 'http://x'"))), HasSubstr("does not belong to type unit"));
  EXPECT_THAT(messages(errors_of(health("type: unit, expect_status: 200"))), HasSubstr("only with type http"));
  EXPECT_THAT(messages(errors_of(service("container: r, health: {type: unit}"))), HasSubstr("has no unit"));
}

TEST(ConfigRules, MetricSourcesHaveWhatTheirTypeNeeds) {
  for (const std::string_view good :
       {"type: prometheus, url: 'http://x/metrics', metric: a_total", "type: json, url: 'http://x'",
        "type: json, url: 'http://x', pointer: /a/b", "type: command, command: [cat, /x]", "type: file, path: /x"}) {
    EXPECT_THAT(errors_of(source(good)), IsEmpty()) << good;
  }
  EXPECT_THAT(messages(errors_of(source("type: prometheus, url: 'http://x'"))), HasSubstr("rate.metric: is missing"));
  EXPECT_THAT(messages(errors_of(source("type: file"))), HasSubstr("rate.path: is missing"));
  EXPECT_THAT(messages(errors_of(source("type: file, path: /x, pointer: /a"))), HasSubstr("does not belong"));
}

TEST(ConfigRules, BoundsAreInOrder) {
  const auto with = [](std::string_view bounds) {
    return "chaos_testing: {scenarios: {packet_loss: {bounds: {probability: {" + std::string(bounds) + "}}}}}";
  };
  EXPECT_THAT(errors_of(with("min: 10%, max: 0.1")), IsEmpty());
  EXPECT_THAT(messages(errors_of(with("min: 11%, max: 0.1"))),
              HasSubstr("packet_loss.bounds.probability.min: min (11%) is above max (0.1) [min <= max]"));
}

TEST(ConfigRules, StepsOutsideOfBoundsAreWarnedAbout) {
  const auto with = [](std::string_view steps) {
    return "chaos_testing: {scenarios: {packet_loss: {bounds: {probability: {min: 1%, max: 50%}}, severity: "
           "{probability: " +
           std::string(steps) + "}}}}";
  };
  EXPECT_THAT(warnings_of(with("[1%, 50%]")), IsEmpty());
  EXPECT_THAT(warnings_of(with("[0.5%, 51%]")),
              ElementsAre(HasSubstr("0.5% is outside of bounds"), HasSubstr("51% is outside of bounds")));
  EXPECT_THAT(warnings_of(with("[1%, 2%, 3%, 4%, 5%]")), IsEmpty());
  EXPECT_THAT(warnings_of(with("[1%, 2%, 3%, 4%, 5%, 6%]")), ElementsAre(HasSubstr("6 steps for 5 severities")));
}

TEST(ConfigRules, LevelsAboveMaxSeverityAreWarnedAbout) {
  const auto with = [](std::string_view level, std::string_view enabled) {
    return "chaos_testing: {max_severity: 3, scenarios: {packet_loss: {enabled: " + std::string(enabled) +
           ", severity_levels: [" + std::string(level) + ", 5]}}}";
  };
  EXPECT_THAT(warnings_of(with("3", "true")), IsEmpty());
  EXPECT_THAT(warnings_of(with("4", "true")), ElementsAre(HasSubstr("every level is above max_severity (3)")));
  EXPECT_THAT(warnings_of(with("4", "false")), IsEmpty());
}

TEST(ConfigRules, TargetServicesShouldBeDefined) {
  const std::string targets = "chaos_testing: {scenarios: {component_failure: {target_services: [a, b]}}}\n";
  EXPECT_THAT(warnings_of(targets + "services: {a: {unit: a.service}}"),
              ElementsAre(testing::EndsWith("so a scenario aimed at it is refused: b")));
  EXPECT_THAT(warnings_of(targets + "services: {a: {unit: a.service}, b: {unit: b.service}}"), IsEmpty());
}

TEST(ConfigRules, MetricsOnTheNetworkAreWarnedAbout) {
  for (const std::string_view loopback : {"'127.0.0.1:9750'", "'localhost:9750'", "'[::1]:9750'", "'off'"}) {
    EXPECT_THAT(warnings_of("metrics: {listen: " + std::string(loopback) + "}"), IsEmpty());
  }
  EXPECT_THAT(warnings_of("metrics: {listen: '0.0.0.0:9750'}"), ElementsAre(HasSubstr("without any login")));
}

/// A good value of every form, and one that is none.
std::pair<std::string, std::string> samples(const KindParameter& parameter) {
  switch (parameter.form) {
    case ParameterForm::kProbability:
      return {"12.5%", "2"};
    case ParameterForm::kDuration:
      return {"50ms", "late"};
    case ParameterForm::kInteger:
      return {"7", "7.5"};
    case ParameterForm::kBytes:
      return {"64KiB", "64QB"};
    case ParameterForm::kBitRate:
      return {"100mbit", "fast"};
    case ParameterForm::kPercent:
      return {"70", "101"};
    case ParameterForm::kChoice:
      return {std::string(parameter.choices[0]), "neither"};
    case ParameterForm::kText:
      return {"some text", "\"\""};
  }
  return {};
}

TEST(ConfigRules, ParametersOfEveryKindAreChecked) {
  for (const KindEntry& kind : config_kinds()) {
    for (const KindParameter& parameter : kind.parameters) {
      const auto [good, bad] = samples(parameter);
      const std::string open = "chaos_testing: {scenarios: {" + std::string(kind.name);
      const std::string name(parameter.name);
      const std::string steps = open + ": {severity: {" + name + ": [";
      EXPECT_THAT(errors_of(steps + good + "]}}}}"), IsEmpty()) << kind.name << " " << name;
      EXPECT_EQ(errors_of(steps + bad + "]}}}}").size(), 1U) << kind.name << " " << name;
      const std::string bound = open + ": {bounds: {" + name + ": {max: ";
      EXPECT_EQ(errors_of(bound + good + "}}}}}").empty(), can_be_bounded(parameter.form)) << kind.name << " " << name;
    }
  }
}

}  // namespace
}  // namespace chaos::test
