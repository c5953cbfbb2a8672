#include "fault/latency_injection.h"

#include <array>

#include "fault/delay_parameters.h"
#include "fault/held_packets.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

constexpr std::array<std::string_view, 5> kDelaySteps{"1ms", "10ms", "50ms", "200ms", "1s"};
constexpr std::array<std::string_view, 1> kFeatures{"tc"};

constexpr std::array kParameters{
    ParamSpec{.name = "delay",
              .type = ParamType::kDuration,
              .help = "how long matching packets are held, one way",
              .minimum = "0s",
              .maximum = "60s",
              .severity_steps = kDelaySteps},
    ParamSpec{.name = "jitter",
              .type = ParamType::kDuration,
              .help = "uniform: at most this much more or less; normal, pareto, paretonormal: the standard deviation. "
                      "Packets of a flow keep their order all the same",
              .minimum = "0s",
              .maximum = "60s",
              .default_value = "0s",
              .when = {"distribution", kByJitter}},
    ParamSpec{.name = "distribution",
              .type = ParamType::kChoice,
              .help = "how delays are spread around `delay`",
              .default_value = "uniform",
              .choices = kDistributionNames},
    ParamSpec{.name = "table",
              .type = ParamType::kString,
              .help = "delays on top of `delay`, ascending, at evenly spaced quantiles from the least to the largest: "
                      "\"1ms,2ms,5ms,80ms\"",
              .when = {"distribution", kEmpirical},
              .required = true},
    ParamSpec{.name = "reorder",
              .type = ParamType::kProbability,
              .help = "share of the packets that are not held and so overtake those before them",
              .minimum = "0%",
              .maximum = "100%",
              .default_value = "0%"},
    ParamSpec{.name = "ramp_from",
              .type = ParamType::kDuration,
              .help = "where a ramp begins",
              .minimum = "0s",
              .maximum = "60s",
              .default_value = "0s"},
    ParamSpec{.name = "ramp_over",
              .type = ParamType::kDuration,
              .help = "the delay moves from `ramp_from` to `delay` in this time; 0s: no ramp",
              .minimum = "0s",
              .maximum = "24h",
              .default_value = "0s"},
    ParamSpec{.name = "pulse_on",
              .type = ParamType::kDuration,
              .help = "with `pulse_off`: packets are held for this long, then not held, and so on",
              .minimum = "0s",
              .maximum = "24h",
              .default_value = "0s"},
    ParamSpec{.name = "pulse_off",
              .type = ParamType::kDuration,
              .help = "the time between pulses; 0s: no pulses",
              .minimum = "0s",
              .maximum = "24h",
              .default_value = "0s"},
};

Result<DelayShape> shape_of(const Parameters& parameters) {
  auto shape = delay_of(parameters);
  const auto reorder = get_probability(parameters, "reorder");
  if (!shape) return shape;
  if (!reorder) return std::unexpected(reorder.error());
  shape->reorder_threshold = reorder->threshold32();
  shape->ramp_from = duration_or_zero(parameters, "ramp_from");
  shape->ramp_over = duration_or_zero(parameters, "ramp_over");
  shape->pulse_on = duration_or_zero(parameters, "pulse_on");
  shape->pulse_off = duration_or_zero(parameters, "pulse_off");
  return shape;
}

Status refine(Plan& plan) {
  const auto shape = shape_of(plan.parameters);
  if (!shape) return std::unexpected(shape.error());
  if (Status status = check_delay(*shape); !status) return status;
  return refine_held(plan);
}

std::map<std::string, std::string> figures(const Counters& /*counters*/, const LineFault& line) {
  std::map<std::string, std::string> all{{"delay", describe(line.tally.achieved)},
                                         {"delay_requested", describe(line.tally.requested)},
                                         {"delay_error", describe(line.tally.late)}};
  if (const std::uint64_t overtook = line.tally.overtook.load(); overtook > 0) {
    const auto let_go = static_cast<double>(line.tally.achieved.count());
    if (let_go > 0) all["reorder"] = std::to_string(100.0 * static_cast<double>(overtook) / let_go) + "%";
  }
  return all;
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  auto shape = shape_of(admitted.plan().parameters);
  if (!shape) return std::unexpected(shape.error());
  return prepare_delay(admitted, mechanisms, std::move(*shape));
}

}  // namespace

Status check_delay(const DelayShape& shape) {
  if (least_delay(shape) < nanoseconds(0)) {
    return fail(Errc::kInvalid, "some packets would have to arrive before they are sent", "parameters.jitter",
                "delay at least: uniform, the jitter; pareto, 0.58 of it; normal and paretonormal, three times it",
                "make the delay longer or the jitter smaller");
  }
  if ((shape.pulse_on.count() == 0) != (shape.pulse_off.count() == 0)) {
    return fail(Errc::kInvalid, "pulses need both pulse_on and pulse_off", "parameters.pulse_on", "both, or neither",
                "give both, such as pulse_on=2s pulse_off=8s");
  }
  if (shape.ramp_from.count() != 0 && shape.ramp_over.count() == 0) {
    return fail(Errc::kInvalid, "a ramp needs ramp_over", "parameters.ramp_from", "ramp_over as well",
                "give the time that the ramp takes, such as ramp_over=30s");
  }
  return {};
}

Result<std::unique_ptr<Fault>> prepare_delay(const AdmittedPlan& admitted, const Mechanisms& mechanisms,
                                             DelayShape shape) {
  auto hold = std::make_shared<LineFault>();
  hold->delay = std::move(shape);
  chaos_fault fault{};
  fault.threshold = 1ULL << 32;
  return prepare_held(admitted, mechanisms, fault, std::move(hold), figures);
}

const FaultKind kLatencyInjection{
    .spec = {.name = "latency_injection",
             .help = "hold packets back and let them go later, without a qdisc: constant, spread, ramped or in pulses",
             .parameters = kParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .sockets = true, .filters = true},
             .features = kFeatures,
             .holds_packets = true,
             .refine = refine},
    .prepare = prepare,
};

}  // namespace chaos
