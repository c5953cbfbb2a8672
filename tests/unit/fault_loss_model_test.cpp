// What the kernel is told of a loss model.
#include <gtest/gtest.h>

#include "fault/loss_model.h"
#include "fault/packet_loss.h"

namespace chaos {
namespace {

Result<chaos_fault> fault_of(const Parameters& given) {
  const auto parameters = resolve_parameters(kPacketLoss.spec, given, std::nullopt);
  if (!parameters) return std::unexpected(parameters.error());
  return loss_fault(*parameters);
}

TEST(LossModel, RandomIsTheDefault) {
  const auto fault = fault_of({{"probability", "50%"}});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->model, std::uint32_t{CHAOS_MODEL_RANDOM});
  EXPECT_EQ(fault->threshold, 1ULL << 31);
}

TEST(LossModel, GilbertElliottBeginsAsOftenBadAsItIsBad) {
  const auto fault = fault_of({{"model", "gilbert_elliott"}, {"p", "25%"}, {"r", "75%"}});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->model, std::uint32_t{CHAOS_MODEL_GILBERT});
  EXPECT_EQ(fault->threshold, 1ULL << 30);
  EXPECT_EQ(fault->of.gilbert.to_bad, 1U << 30);
  EXPECT_EQ(fault->of.gilbert.to_good, 3U << 30);
  EXPECT_EQ(fault->of.gilbert.good_loss, 0U);
  EXPECT_EQ(fault->of.gilbert.bad_loss, CHAOS_ALWAYS32);
}

TEST(LossModel, EveryNthAndPerFlow) {
  const auto every = fault_of({{"model", "every_nth"}, {"n", "7"}});
  ASSERT_TRUE(every);
  EXPECT_EQ(every->of.every, 7U);
  const auto flows = fault_of({{"model", "per_flow"}, {"share", "25%"}, {"probability", "100%"}});
  ASSERT_TRUE(flows);
  EXPECT_EQ(flows->of.share, 1ULL << 30);
  EXPECT_EQ(flows->threshold, 1ULL << 32);
}

TEST(LossModel, RefusesFiguresOfAnotherModel) {
  const std::vector<std::pair<Parameters, std::string>> wrong{
      {{{"model", "gilbert_elliott"}, {"probability", "1%"}, {"p", "1%"}}, "probability"},
      {{{"probability", "1%"}, {"n", "5"}}, "n"},
      {{{"model", "every_nth"}, {"n", "5"}, {"share", "5%"}}, "share"},
      {{{"model", "per_flow"}, {"share", "5%"}, {"probability", "1%"}, {"r", "5%"}}, "r"},
      {{{"model", "gilbert_elliott"}}, "p"},
      {{{"model", "every_nth"}}, "n"},
      {{{"model", "every_nth"}, {"n", "0"}}, "n"},
      {{{"model", "per_flow"}, {"probability", "1%"}}, "share"},
      {{{"model", "per_flow"}, {"share", "1%"}}, "probability"},
      {{{"model", "gilbert_elliott"}, {"p", "1%"}, {"r", "0%"}}, "r"}};
  for (const auto& [given, field] : wrong) {
    const auto fault = fault_of(given);
    ASSERT_FALSE(fault) << field;
    EXPECT_EQ(fault.error().code, Errc::kInvalid);
    EXPECT_EQ(fault.error().field, "parameters." + field) << fault.error().message;
  }
}

TEST(LossModel, ASeverityFillsTheModelsOwnMainFigure) {
  const auto parameters = [](const char* model) {
    return resolve_parameters(kPacketLoss.spec, {{"model", model}}, 3).value_or(Parameters{});
  };
  EXPECT_EQ(parameters("random").at("probability"), "10%");
  EXPECT_EQ(parameters("gilbert_elliott").at("p"), "1%");
  EXPECT_FALSE(parameters("gilbert_elliott").contains("probability"));
  EXPECT_EQ(parameters("every_nth").at("n"), "10");
}

}  // namespace
}  // namespace chaos
