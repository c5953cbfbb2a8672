#include "plan/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace chaos {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr std::array<std::string_view, 5> kLossSteps = {"1%", "5%", "10%", "25%", "50%"};
constexpr std::array<std::string_view, 2> kModels = {"random", "per_flow"};
constexpr std::array kSpecs = {
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of packets",
              .minimum = "0.1%",
              .maximum = "90%",
              .severity_steps = kLossSteps},
    ParamSpec{.name = "model",
              .type = ParamType::kChoice,
              .help = "how losses are spread",
              .default_value = "random",
              .choices = kModels},
    ParamSpec{.name = "delay", .type = ParamType::kDuration, .help = "optional delay", .maximum = "1s"},
    ParamSpec{.name = "rate", .type = ParamType::kBitRate, .help = "optional rate"},
    ParamSpec{.name = "size", .type = ParamType::kBytes, .help = "optional size"},
    ParamSpec{.name = "path", .type = ParamType::kString, .help = "optional path"},
};
constexpr KindSpec kKind{.name = "packet_loss",
                         .help = "drops packets",
                         .parameters = kSpecs,
                         .ownership = Ownership::kFileDescriptor,
                         .targets = {.interface = true, .netns = true, .filters = true},
                         .features = {}};

Error error_of(const Parameters& given, std::optional<int> severity = std::nullopt,
               const ParameterPolicy& policy = {}) {
  const auto result = resolve_parameters(kKind, given, severity, policy);
  EXPECT_FALSE(result);
  return result ? Error{} : result.error();
}

TEST(Severity, ScaleOfThreeStepsIsTheContracts) {
  constexpr std::array<std::string_view, 3> kSteps = {"50", "70", "90"};
  const ParamSpec spec{.name = "level", .type = ParamType::kInteger, .help = "", .severity_steps = kSteps};
  std::vector<std::string_view> presets;
  for (int severity = 1; severity <= 5; ++severity) presets.push_back(severity_preset(spec, severity));
  EXPECT_THAT(presets, ElementsAre("50", "50", "70", "90", "90"));
}

constexpr std::array<std::string_view, 3> kWays = {"slow", "fill", "hold"};
constexpr std::array<std::string_view, 2> kThings = {"disk", "memory"};
constexpr std::array<std::string_view, 1> kSlow = {"slow"};
constexpr std::array<std::string_view, 1> kHold = {"hold"};
constexpr std::array<std::string_view, 1> kDisk = {"disk"};
constexpr std::array<std::string_view, 2> kRates = {"2mbit", "1mbit"};
constexpr std::array kRateSpecs = {
    ParamSpec{.name = "thing", .type = ParamType::kChoice, .help = "", .choices = kThings},
    ParamSpec{.name = "way", .type = ParamType::kChoice, .help = "", .choices = kWays},
    ParamSpec{.name = "rate",
              .type = ParamType::kBitRate,
              .help = "",
              .severity_steps = kRates,
              .when = {"thing", kDisk},
              .or_when = {"way", kHold},
              .preset_when = {"way", kSlow},
              .required = true,
              .required_when = {"way", kSlow}},
};
constexpr KindSpec kRated{.name = "scarce",
                          .help = "",
                          .parameters = kRateSpecs,
                          .ownership = Ownership::kFileDescriptor,
                          .targets = {.interface = true},
                          .features = {}};

TEST(Conditions, OneOfTwoIsEnoughForAMeaning) {
  EXPECT_TRUE(resolve_parameters(kRated, {{"thing", "disk"}, {"way", "fill"}, {"rate", "1mbit"}}, {}, {}));
  EXPECT_TRUE(resolve_parameters(kRated, {{"thing", "memory"}, {"way", "hold"}, {"rate", "1mbit"}}, {}, {}));
  const auto neither = resolve_parameters(kRated, {{"thing", "memory"}, {"way", "fill"}, {"rate", "1mbit"}}, {}, {});
  ASSERT_FALSE(neither);
  EXPECT_EQ(neither.error().field, "parameters.rate");
  EXPECT_EQ(neither.error().rule, "only with thing = disk, or way = hold");
}

TEST(Conditions, RequiredAndFilledByASeverityOnlyWhereItIsSaid) {
  const auto slow = resolve_parameters(kRated, {{"thing", "disk"}, {"way", "slow"}}, 5, {});
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->at("rate"), "1mbit");
  const auto bare = resolve_parameters(kRated, {{"thing", "disk"}, {"way", "slow"}}, {}, {});
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().field, "parameters.rate");
  for (const auto& severity : {std::optional<int>(), std::optional(5)}) {
    const auto fill = resolve_parameters(kRated, {{"thing", "disk"}, {"way", "fill"}}, severity, {});
    ASSERT_TRUE(fill);
    EXPECT_FALSE(fill->contains("rate"));
  }
}

TEST(Severity, TheConfigurationsScalesAreOfTheirUseAlone) {
  const ResourceExhaustionScales scales{.memory_pressure = {1}, .cpu_throttle = {10, 20, 30}};
  const Parameters throttle{{"resource", "cpu"}, {"mode", "throttle"}};
  ParameterPolicy policy;
  add_scales("resource_exhaustion", throttle, scales, policy);
  EXPECT_THAT(policy.steps["level"], ElementsAre("10%", "20%", "30%"));
  policy.steps["level"] = {"5%"};
  add_scales("resource_exhaustion", throttle, scales, policy);
  EXPECT_THAT(policy.steps["level"], ElementsAre("5%"));
  ParameterPolicy pressed;
  add_scales("resource_exhaustion", {{"resource", "memory"}, {"mode", "pressure"}}, scales, pressed);
  EXPECT_THAT(pressed.steps["level"], ElementsAre("1%"));
  ParameterPolicy untouched;
  add_scales("resource_exhaustion", {{"resource", "pids"}, {"mode", "limit"}}, scales, untouched);
  add_scales("packet_loss", throttle, scales, untouched);
  EXPECT_TRUE(untouched.steps.empty());
}

TEST(Severity, StepsSpreadOverTheScale) {
  const auto spread = [](std::size_t steps) {
    std::vector<std::size_t> taken;
    for (int severity = 1; severity <= 5; ++severity) taken.push_back(severity_step(steps, severity));
    return taken;
  };
  EXPECT_THAT(spread(1), ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(spread(2), ElementsAre(0, 0, 0, 1, 1));
  EXPECT_THAT(spread(3), ElementsAre(0, 0, 1, 2, 2));
  EXPECT_THAT(spread(4), ElementsAre(0, 1, 2, 2, 3));
  EXPECT_THAT(spread(5), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(spread(9), ElementsAre(0, 2, 4, 6, 8));
}

TEST(Severity, OutsideTheScaleCountsAsTheNearerEnd) {
  EXPECT_EQ(severity_step(5, 0), 0U);
  EXPECT_EQ(severity_step(5, 6), 4U);
}

TEST(Severity, NoStepsGiveNoPreset) { EXPECT_TRUE(severity_preset(kSpecs[1], 3).empty()); }

TEST(Parameters, GivenBeatsPresetBeatsDefault) {
  EXPECT_THAT(resolve_parameters(kKind, {}, 3).value(),
              ElementsAre(Pair("model", "random"), Pair("probability", "10%")));
  EXPECT_THAT(resolve_parameters(kKind, {{"probability", "0.2"}, {"model", "per_flow"}}, 3).value(),
              ElementsAre(Pair("model", "per_flow"), Pair("probability", "20%")));
}

TEST(Parameters, ComeOutInCanonicalForm) {
  const Parameters given = {{"probability", "0.10"}, {"delay", "0.5s"}, {"rate", "1000kbit"},
                            {"size", "1024KiB"},     {"path", "/x y"},  {"max_events", "007"}};
  EXPECT_THAT(
      resolve_parameters(kKind, given, std::nullopt).value(),
      ElementsAre(Pair("delay", "500ms"), Pair("max_events", "7"), Pair("model", "random"), Pair("path", "/x y"),
                  Pair("probability", "10%"), Pair("rate", "1mbit"), Pair("size", "1MiB")));
}

TEST(Parameters, MainParameterIsRequired) {
  const Error error = error_of({});
  EXPECT_EQ(error.code, Errc::kInvalid);
  EXPECT_EQ(error.field, "parameters.probability");
  EXPECT_EQ(error.rule, "required");
  EXPECT_THAT(error.hint, HasSubstr("severity"));
}

TEST(Parameters, UnknownNameListsTheKnownOnes) {
  const Error error = error_of({{"probabilty", "10%"}});
  EXPECT_EQ(error.code, Errc::kInvalid);
  EXPECT_EQ(error.field, "parameters.probabilty");
  EXPECT_THAT(error.hint, HasSubstr("probability, model, delay, rate, size, path, max_events"));
}

TEST(Parameters, SeedIsAFieldOfTheRequest) {
  const Error error = error_of({{"probability", "10%"}, {"seed", "1"}});
  EXPECT_EQ(error.field, "parameters.seed");
  EXPECT_EQ(error.hint, "use the field seed (chaosctl --seed)");
}

TEST(Parameters, MalformedValuesNameTheirField) {
  const std::array<std::pair<std::string, std::string>, 9> bad = {{{"probability", "ten"},
                                                                   {"model", "bursty"},
                                                                   {"model", ""},
                                                                   {"delay", "5x"},
                                                                   {"rate", "5mbps"},
                                                                   {"size", "-1"},
                                                                   {"path", ""},
                                                                   {"max_events", "1.5"},
                                                                   {"max_events", "-1"}}};
  for (const auto& [name, value] : bad) {
    const Error error = error_of({{name, value}}, 1);
    EXPECT_EQ(error.code, Errc::kInvalid) << name;
    EXPECT_EQ(error.field, "parameters." + name);
    EXPECT_FALSE(error.hint.empty()) << name;
    EXPECT_TRUE(error.message.starts_with(name + ": ")) << error.message;
  }
}

TEST(Parameters, RangeIsInclusiveAndNamed) {
  EXPECT_TRUE(resolve_parameters(kKind, {{"probability", "0.1%"}}, std::nullopt));
  EXPECT_TRUE(resolve_parameters(kKind, {{"probability", "90%"}, {"delay", "1000ms"}}, std::nullopt));
  const Error low = error_of({{"probability", "0%"}});
  EXPECT_EQ(low.code, Errc::kInvalid);
  EXPECT_EQ(low.rule, "min 0.1%");
  const Error high = error_of({{"probability", "90.1%"}});
  EXPECT_EQ(high.rule, "max 90%");
  EXPECT_EQ(high.hint, "at most 90% fits");
  EXPECT_EQ(error_of({{"probability", "1%"}, {"max_events", "0"}}).rule, "min 1");
}

TEST(Parameters, ChoicesAreListed) { EXPECT_EQ(error_of({{"model", "bursty"}}, 1).rule, "one of random, per_flow"); }

TEST(Parameters, SeverityIsOneToFive) {
  for (const int severity : {0, 6, -1}) {
    const Error error = error_of({{"probability", "10%"}}, severity);
    EXPECT_EQ(error.code, Errc::kInvalid);
    EXPECT_EQ(error.field, "severity");
  }
}

TEST(Parameters, ConfiguredStepsReplaceThePreset) {
  const ParameterPolicy policy{.steps = {{"probability", {"2%", "4%", "6%"}}, {"delay", {"10ms", "20ms"}}}};
  EXPECT_THAT(resolve_parameters(kKind, {}, 2, policy).value(),
              ElementsAre(Pair("delay", "10ms"), Pair("model", "random"), Pair("probability", "2%")));
  EXPECT_EQ(resolve_parameters(kKind, {}, 5, policy).value().at("probability"), "6%");
  EXPECT_EQ(resolve_parameters(kKind, {{"probability", "7%"}}, 5, policy).value().at("probability"), "7%");
}

TEST(Parameters, ConfiguredBoundsRefuseWhateverTheSource) {
  const ParameterPolicy policy{.bounds = {{"probability", {"2%", "20%"}}}};
  EXPECT_TRUE(resolve_parameters(kKind, {{"probability", "20%"}}, std::nullopt, policy));
  EXPECT_TRUE(resolve_parameters(kKind, {{"probability", "2%"}}, std::nullopt, policy));
  const Error given = error_of({{"probability", "50%"}}, std::nullopt, policy);
  EXPECT_EQ(given.code, Errc::kRefused);
  EXPECT_EQ(given.field, "parameters.probability");
  EXPECT_THAT(given.message, HasSubstr("50%"));
  EXPECT_EQ(given.rule, "max 20% (configured)");
  EXPECT_EQ(given.hint, "at most 20% fits");
  EXPECT_EQ(error_of({}, 5, policy).code, Errc::kRefused);
  EXPECT_EQ(error_of({}, 1, policy).hint, "at least 2% fits");
}

TEST(Parameters, BrokenRangeIsInvalidEvenWithBounds) {
  const ParameterPolicy policy{.bounds = {{"probability", {"", "20%"}}}};
  EXPECT_EQ(error_of({{"probability", "95%"}}, std::nullopt, policy).code, Errc::kInvalid);
}

TEST(ParameterPolicy, AcceptsWhatFitsTheKind) {
  EXPECT_TRUE(check_policy(kKind, {}));
  EXPECT_TRUE(check_policy(kKind, {.steps = {{"probability", {"1%", "2%"}}},
                                   .bounds = {{"probability", {"", "20%"}}, {"max_events", {"1", "1000"}}}}));
}

TEST(ParameterPolicy, RefusesWhatDoesNot) {
  const std::vector<ParameterPolicy> bad = {
      {.steps = {{"loss", {"1%"}}}},
      {.steps = {{"probability", {}}}},
      {.steps = {{"probability", {"lots"}}}},
      {.steps = {{"probability", {"99%"}}}},
      {.bounds = {{"loss", {"1%", "2%"}}}},
      {.bounds = {{"model", {"a", "b"}}}},
      {.bounds = {{"probability", {"x", ""}}}},
      {.bounds = {{"probability", {"3%", "2%"}}}},
  };
  for (const auto& policy : bad) {
    const Status status = check_policy(kKind, policy);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kInvalid);
    EXPECT_TRUE(status.error().field.starts_with("parameters.")) << status.error().message;
  }
}

TEST(Parameters, TypedReads) {
  const Parameters values = {{"p", "10%"}, {"d", "50ms"}, {"n", "7"}, {"b", "1KiB"}, {"r", "1mbit"}};
  EXPECT_EQ(get_string(values, "p").value(), "10%");
  EXPECT_EQ(get_probability(values, "p").value(), Probability::from_ppb(100'000'000));
  EXPECT_EQ(get_duration(values, "d").value(), 50ms);
  EXPECT_EQ(get_integer(values, "n").value(), 7U);
  EXPECT_EQ(get_bytes(values, "b").value(), 1024U);
  EXPECT_EQ(get_bit_rate(values, "r").value(), 1'000'000U);
  EXPECT_EQ(get_integer(values, "none").error().field, "parameters.none");
  EXPECT_EQ(get_integer(values, "p").error().field, "parameters.p");
}

TEST(Parameters, TypesAndOwnershipHaveNames) {
  EXPECT_EQ(to_string(ParamType::kProbability), "probability");
  EXPECT_EQ(to_string(ParamType::kBitRate), "bit_rate");
  EXPECT_EQ(to_string(ParamType::kString), "string");
  EXPECT_EQ(to_string(Ownership::kFileDescriptor), "file_descriptor");
  EXPECT_EQ(to_string(Ownership::kProcess), "process");
  EXPECT_EQ(to_string(Ownership::kJournaled), "journaled");
}

}  // namespace
}  // namespace chaos
