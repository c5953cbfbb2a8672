#include "fault/loss_model.h"

namespace chaos {
namespace {

constexpr std::string_view kRandom = "random";
constexpr std::string_view kGilbert = "gilbert_elliott";
constexpr std::string_view kEveryNth = "every_nth";
constexpr std::string_view kPerFlow = "per_flow";

constexpr std::array kModels{kRandom, kGilbert, kEveryNth, kPerFlow};
constexpr std::array kByProbability{kRandom, kPerFlow};
constexpr std::array kOnlyGilbert{kGilbert};
constexpr std::array kOnlyEveryNth{kEveryNth};
constexpr std::array kOnlyPerFlow{kPerFlow};
constexpr Condition kWithProbability{"model", kByProbability};
constexpr Condition kWithGilbert{"model", kOnlyGilbert};
constexpr Condition kWithEveryNth{"model", kOnlyEveryNth};
constexpr Condition kWithPerFlow{"model", kOnlyPerFlow};

constexpr std::array<std::string_view, 5> kProbabilitySteps{"1%", "5%", "10%", "30%", "100%"};
constexpr std::array<std::string_view, 5> kTurnBadSteps{"0.1%", "0.5%", "1%", "3%", "10%"};
constexpr std::array<std::string_view, 5> kEverySteps{"100", "20", "10", "3", "1"};

std::uint32_t threshold_of_word(Probability probability) {
  const std::uint64_t threshold = probability.threshold32();
  return threshold > CHAOS_ALWAYS32 ? CHAOS_ALWAYS32 : static_cast<std::uint32_t>(threshold);
}

/// The share of time that a flow of the model is bad: where it begins, so that its loss is the same from the first
/// packet on.
std::uint64_t stationary_bad(Probability p, Probability r) {
  const std::uint64_t both = p.ppb() + r.ppb();
  return both == 0 ? 0 : (p.ppb() << 32) / both;
}

Status fill_gilbert(const Parameters& parameters, chaos_fault& fault) {
  std::array<Probability, 4> values;
  constexpr std::array<std::string_view, 4> kNames{"p", "r", "good_loss", "bad_loss"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto value = get_probability(parameters, kNames[i]);
    if (!value) return std::unexpected(value.error());
    values[i] = *value;
  }
  fault.model = CHAOS_MODEL_GILBERT;
  fault.threshold = stationary_bad(values[0], values[1]);
  fault.of.gilbert = {threshold_of_word(values[0]), threshold_of_word(values[1]), threshold_of_word(values[2]),
                      threshold_of_word(values[3])};
  return {};
}

Status fill_every_nth(const Parameters& parameters, chaos_fault& fault) {
  const auto every = get_integer(parameters, "n");
  if (!every) return std::unexpected(every.error());
  fault.model = CHAOS_MODEL_EVERY_NTH;
  fault.of.every = *every;
  return {};
}

Status fill_random(const Parameters& parameters, chaos_fault& fault) {
  const auto probability = get_probability(parameters, "probability");
  if (!probability) return std::unexpected(probability.error());
  fault.model = CHAOS_MODEL_RANDOM;
  fault.threshold = probability->threshold32();
  return {};
}

Status fill_per_flow(const Parameters& parameters, chaos_fault& fault) {
  if (Status status = fill_random(parameters, fault); !status) return status;
  const auto share = get_probability(parameters, "share");
  if (!share) return std::unexpected(share.error());
  fault.model = CHAOS_MODEL_PER_FLOW;
  fault.of.share = share->threshold32();
  return {};
}

}  // namespace

constinit const std::array<ParamSpec, 8> kLossParameters{
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of matching packets that are lost (per_flow: of those in the chosen flows)",
              .minimum = "0%",
              .maximum = "100%",
              .severity_steps = kProbabilitySteps,
              .when = kWithProbability},
    ParamSpec{.name = "model",
              .type = ParamType::kChoice,
              .help = "random: each packet by itself; gilbert_elliott: in bursts; every_nth: evenly; per_flow: some "
                      "conversations only. All are decided by the seed, the flow and the packet's number in its flow",
              .default_value = kRandom,
              .choices = kModels},
    ParamSpec{.name = "p",
              .type = ParamType::kProbability,
              .help = "after a packet a flow in the good state turns bad",
              .minimum = "0%",
              .maximum = "100%",
              .severity_steps = kTurnBadSteps,
              .when = kWithGilbert,
              .required = true},
    ParamSpec{.name = "r",
              .type = ParamType::kProbability,
              .help = "after a packet a flow in the bad state turns good: it stays bad for 1/r packets on average",
              .minimum = "0.0001%",
              .maximum = "100%",
              .default_value = "25%",
              .when = kWithGilbert},
    ParamSpec{.name = "good_loss",
              .type = ParamType::kProbability,
              .help = "share of the packets that are lost in the good state",
              .minimum = "0%",
              .maximum = "100%",
              .default_value = "0%",
              .when = kWithGilbert},
    ParamSpec{.name = "bad_loss",
              .type = ParamType::kProbability,
              .help = "share of the packets that are lost in the bad state",
              .minimum = "0%",
              .maximum = "100%",
              .default_value = "100%",
              .when = kWithGilbert},
    ParamSpec{.name = "n",
              .type = ParamType::kInteger,
              .help = "one packet of each n of a flow is lost; which one, the seed says for each flow",
              .minimum = "1",
              .maximum = "1000000",
              .severity_steps = kEverySteps,
              .when = kWithEveryNth,
              .required = true},
    ParamSpec{.name = "share",
              .type = ParamType::kProbability,
              .help = "share of the conversations (both directions together) that lose packets",
              .minimum = "0%",
              .maximum = "100%",
              .when = kWithPerFlow,
              .required = true},
};

Result<chaos_fault> loss_fault(const Parameters& parameters) {
  const auto model = get_string(parameters, "model");
  if (!model) return std::unexpected(model.error());
  chaos_fault fault{};
  Status status;
  if (*model == kGilbert) {
    status = fill_gilbert(parameters, fault);
  } else if (*model == kEveryNth) {
    status = fill_every_nth(parameters, fault);
  } else if (*model == kPerFlow) {
    status = fill_per_flow(parameters, fault);
  } else {
    status = fill_random(parameters, fault);
  }
  if (!status) return std::unexpected(status.error());
  return fault;
}

}  // namespace chaos
