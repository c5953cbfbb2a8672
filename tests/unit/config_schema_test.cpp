// Bad and good input, generated per key from the schema.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "config_helpers.h"

namespace chaos::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kDurationRule = "default_duration <= safety_timeout";

std::vector<KeySpec> value_keys() {
  std::vector<KeySpec> keys;
  std::ranges::copy_if(config_schema(), std::back_inserter(keys),
                       [](const KeySpec& key) { return key.type != ValueType::kSection; });
  return keys;
}

/// Scalars that are not of the type.
std::vector<std::string> wrong_scalars(ValueType type) {
  using enum ValueType;
  switch (type) {
    case kBoolean:
      return {"yes", "1", "on", "\"true\"", "maybe"};
    case kInteger:
      return {"many", "1.5", "0x10", "\"3\"", "1e3", "99999999999999999999"};
    case kNumber:
      return {"heavy", "1_5", "\"1\"", "nan", "inf"};
    case kDuration:
      return {"soon", "-5", "5 parsecs", "true"};
    case kFraction:
      return {"some", "-0.1", "1.5", "101%"};
    case kBytes:
      return {"big", "-1", "64XiB"};
    case kChoice:
      return {"none_of_these", "KEEP", "1"};
    case kPath:
      return {"relative/path", "/a/../b", "/a/", "x"};
    case kCgroup:
      return {"system.slice", "/a/../b"};
    case kUnit:
      return {"nginx", "nginx.exe", ".service", "a b.service"};
    case kCidr:
      return {"10.0.0.1/8", "10.0.0.0/33", "example.com", "fd00::1/8", "10.0.0", "10.0.0.0/+8"};
    case kPort:
      return {"0", "65536", "http", "80-90", "-1"};
    case kPortRange:
      return {"0", "90-80", "1-65536", "ssh", "1-2-3"};
    case kAddress:
      return {"localhost", "localhost:0", ":80", "::1:80x", "\"[10.0.0.1]:80\""};
    case kListen:
      return {"on", "9750", "127.0.0.1", "127.0.0.1:99999", "host.example:9750"};
    case kUrl:
      return {"ftp://x", "http://", "example.com", "http:///x", "\"http://a b\""};
    case kGroup:
      return {"-x", "0", "\"a b\"", "abcdefghijklmnopqrstuvwxyz0123456"};
    case kTimeZone:
      return {"Mars/Olympus", "/etc/passwd", "../passwd", "CEST+"};
    case kTimeWindow:
      return {"mon-fri", "9-17", "noday 09:00-17:00", "mon 24:00-25:00", "mon 09:00-17:60", "09:00"};
    case kMetric:
      return {"9lives", "a-b", "\"a b\""};
    case kPointer:
      return {"queue/depth", "/a~2", "/a~"};
    case kBound:
    case kStep:
      return {"often", "-1", "101%"};
    case kText:
    case kSection:
      return {};
  }
  return {};
}

/// Values that do not have the shape of the key at all.
std::vector<std::string> wrong_values(const KeySpec& key) {
  std::vector<std::string> values{"{a: 1}", "~", "[[x]]", "[{a: 1}]", "[~]"};
  if (key.default_value != "\"\"" && key.type != ValueType::kPointer) values.push_back(key.list ? "[\"\"]" : "\"\"");
  if (key.list) values.push_back("plain");
  if (!key.list) values.push_back("[1]");
  for (const std::string& scalar : wrong_scalars(key.type)) {
    values.push_back(key.list ? "[" + scalar + "]" : scalar);
  }
  return values;
}

std::string as_value(const KeySpec& key, std::string_view scalar) {
  return key.list ? "[" + std::string(scalar) + "]" : std::string(scalar);
}

std::optional<std::string> value_below(const KeySpec& key) {
  if (key.minimum.empty()) return std::nullopt;
  if (key.type == ValueType::kInteger) return std::to_string(std::stoll(std::string(key.minimum)) - 1);
  return "0";
}

std::optional<std::string> value_above(const KeySpec& key) {
  if (key.maximum.empty()) return std::nullopt;
  switch (key.type) {
    case ValueType::kInteger:
      return std::to_string(std::stoll(std::string(key.maximum)) + 1);
    case ValueType::kDuration:
      return "100000h";
    case ValueType::kBytes:
      return "1TB";
    default:
      return "1000.5";
  }
}

/// Every refusal says where, which field, which rule.
void expect_refused(const KeySpec& key, const std::string& yaml) {
  const std::string path = sample_path(key);
  const ConfigErrors errors = errors_of(yaml);
  const Error* error = find_error(errors, path);
  ASSERT_NE(error, nullptr) << yaml << "\naccepted; other errors:\n" << messages(errors);
  EXPECT_EQ(error->code, Errc::kInvalid);
  EXPECT_THAT(error->message, testing::MatchesRegex("chaosd\\.yaml:[0-9]+:[0-9]+: .*")) << yaml;
  EXPECT_THAT(error->message, HasSubstr(": " + path)) << yaml;
  EXPECT_FALSE(error->rule.empty()) << error->message;
}

/// No error about this key; its section may want others.
void expect_accepted(const KeySpec& key, const std::string& yaml) {
  for (const Error& error : errors_of(yaml)) {
    const bool about_other_keys = error.rule == kDurationRule || error.rule.starts_with("not with type") ||
                                  error.rule.starts_with("only with type") || error.rule.starts_with("type unit");
    if (!about_other_keys) {
      EXPECT_NE(error.field, sample_path(key)) << yaml << "\n" << error.message;
    }
  }
}

TEST(ConfigSchema, PathsAreUniqueAndComplete) {
  std::set<std::string_view> paths;
  for (const KeySpec& key : config_schema()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    EXPECT_NE(key.set, nullptr) << key.path;
    EXPECT_THAT(std::string(key.help), testing::EndsWith(".")) << key.path;
    EXPECT_EQ(key.minimum.empty(), key.maximum.empty()) << key.path;
    if (key.type == ValueType::kChoice) {
      EXPECT_FALSE(key.choices.empty()) << key.path;
    }
  }
}

TEST(ConfigSchema, LimitsAndDefaultsAreOfTheKeysType) {
  for (const KeySpec& key : value_keys()) {
    for (const std::string_view limit : {key.minimum, key.maximum}) {
      if (!limit.empty()) {
        EXPECT_TRUE(parse_value(key.type, {}, {std::string(limit)})) << key.path << " " << limit;
      }
    }
    if (!key.default_value.empty()) expect_accepted(key, document_with(key, key.default_value));
  }
}

TEST(ConfigSchema, WrongTypesAreRefused) {
  for (const KeySpec& key : value_keys()) {
    for (const std::string& value : wrong_values(key)) expect_refused(key, document_with(key, value));
  }
}

TEST(ConfigSchema, ValuesBelowTheMinimumAreRefused) {
  for (const KeySpec& key : value_keys()) {
    const auto below = value_below(key);
    if (!below) continue;
    if (key.minimum == "0" && !key.above_minimum && key.type != ValueType::kInteger) continue;
    const std::string yaml = document_with(key, as_value(key, *below));
    expect_refused(key, yaml);
    EXPECT_THAT(messages(errors_of(yaml)), HasSubstr("too low")) << yaml;
  }
}

TEST(ConfigSchema, ValuesAboveTheMaximumAreRefused) {
  for (const KeySpec& key : value_keys()) {
    if (const auto above = value_above(key)) expect_refused(key, document_with(key, as_value(key, *above)));
  }
}

TEST(ConfigSchema, ValuesAtTheLimitsAreAccepted) {
  for (const KeySpec& key : value_keys()) {
    if (key.maximum.empty()) continue;
    expect_accepted(key, document_with(key, as_value(key, key.maximum)));
    if (!key.above_minimum) expect_accepted(key, document_with(key, as_value(key, key.minimum)));
  }
}

TEST(ConfigSchema, MisspeltKeysAreRefusedWithTheRightOne) {
  for (const KeySpec& key : value_keys()) {
    auto segments = path_segments(key.path);
    if (is_wildcard(segments.back())) continue;
    const std::string misspelt = std::string(segments.back()) + "z";
    segments.back() = misspelt;
    const std::string yaml = nested(segments, "1");
    const ConfigErrors errors = errors_of(yaml);
    ASSERT_FALSE(errors.empty()) << yaml;
    const auto wanted = HasSubstr("unknown key \"" + misspelt + "\", did you mean \"" +
                                  std::string(path_segments(key.path).back()) + "\"?");
    EXPECT_THAT(messages(errors), wanted) << yaml;
    EXPECT_THAT(errors.front().message, StartsWith("chaosd.yaml:1:")) << yaml;
  }
}

TEST(ConfigSchema, RequiredKeysAreMissed) {
  unsigned required = 0;
  for (const KeySpec& key : config_schema()) {
    if (!key.required) continue;
    ++required;
    auto segments = path_segments(key.path);
    segments.pop_back();
    expect_refused(key, nested(segments, "{}"));
    expect_refused(key, nested(segments, "~"));
  }
  EXPECT_EQ(required, 4U);
}

TEST(ConfigSchema, MissingKeysAreTheDefaults) {
  for (const KeySpec& key : value_keys()) {
    const auto segments = path_segments(key.path);
    if (key.default_value.empty() || segments.front() == "services" || segments.front() == "webhooks") continue;
    const auto report = check_config(document_with(key, key.default_value), kFile);
    ASSERT_TRUE(report) << key.path << "\n" << messages(report.error());
    EXPECT_EQ(report->config, Config{}) << key.path << ": the schema's default is not the struct's";
  }
}

TEST(ConfigSchema, EveryKeyReachesTheConfig) {
  for (const KeySpec& key : value_keys()) {
    if (path_segments(key.path).front() != "chaos_testing" || key.minimum.empty()) continue;
    const bool at_minimum = key.path == "chaos_testing.default_duration" || key.maximum == key.default_value;
    const std::string value = at_minimum ? std::string(key.minimum) : std::string(key.maximum);
    const auto report = check_config(document_with(key, as_value(key, value)), kFile);
    ASSERT_TRUE(report) << key.path << "\n" << messages(report.error());
    if (key.path != "chaos_testing.require_reason_above_severity") {
      EXPECT_NE(report->config, Config{}) << key.path;
    }
  }
}

TEST(ConfigSchema, SectionsWantMappings) {
  std::set<std::string> sections;
  for (const KeySpec& key : config_schema()) {
    auto segments = path_segments(key.path);
    while (segments.size() > 1) {
      segments.pop_back();
      for (const std::string_view wrong : {"3", "text", "[1]"}) {
        const bool list_of_mappings = segments.back() == "webhooks";
        const ConfigErrors errors = errors_of(nested(segments, wrong));
        ASSERT_FALSE(errors.empty()) << nested(segments, wrong);
        EXPECT_THAT(errors.front().message, HasSubstr(list_of_mappings ? "expected a" : "expected a mapping"));
      }
      sections.insert(nested(segments, ""));
    }
  }
  EXPECT_GT(sections.size(), 15U);
}

TEST(ConfigSchema, ListsOfChoicesAndNamesRefuseDoubles) {
  for (const KeySpec& key : value_keys()) {
    if (!key.unique || key.default_value == "[]") continue;
    const std::string list(key.default_value);
    const std::string first = list.substr(1, list.find_first_of(",]") - 1);
    expect_refused(key, document_with(key, "[" + first + ", " + first + "]"));
  }
}

TEST(ConfigSchema, ListsWithAMinimumRefuseEmptyOnes) {
  for (const KeySpec& key : value_keys()) {
    if (key.min_items > 0) expect_refused(key, document_with(key, "[]"));
    if (key.list && key.min_items == 0) expect_accepted(key, document_with(key, "[]"));
  }
}

TEST(ConfigSchema, SummariesNameTypeRangeAndDefault) {
  const auto summary_of = [](std::string_view path) {
    return summary(*std::ranges::find(config_schema(), path, &KeySpec::path));
  };
  EXPECT_EQ(summary_of("chaos_testing.default_duration"), "duration, 1ms to 168h; default 300");
  EXPECT_EQ(summary_of("chaos_testing.blast_radius_limit"), "fraction, above 0, at most 1; default 0.3");
  EXPECT_EQ(summary_of("chaos_testing.on_reload"), "one of keep, end; default keep");
  EXPECT_EQ(summary_of("webhooks[].url"), "URL; required");
  EXPECT_EQ(summary_of("services.SERVICE.ports"), "list of: port; default []");
}

}  // namespace
}  // namespace chaos::test
