#include "fault/packet_loss.h"

#include <fmt/format.h>

#include <array>
#include <atomic>

#include "fault/packet_engine.h"

namespace chaos {
namespace {

constexpr std::array<std::string_view, 5> kProbabilitySteps{"1%", "5%", "10%", "30%", "100%"};
constexpr std::array<std::string_view, 1> kModels{"random"};
constexpr std::array kParameters{
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of matching packets that are lost",
              .minimum = "0%",
              .maximum = "100%",
              .severity_steps = kProbabilitySteps},
    ParamSpec{.name = "model",
              .type = ParamType::kChoice,
              .help = "random: each packet by itself, decided by seed, flow and the packet's number in its flow",
              .default_value = "random",
              .choices = kModels},
};
constexpr std::array<std::string_view, 1> kFeatures{"tc"};

class PacketLoss final : public Fault {
 public:
  PacketLoss(PacketEngine& engine, unsigned index) : engine_(engine), index_(index) {}
  ~PacketLoss() override { (void)PacketLoss::remove(); }

  Status arm(std::chrono::nanoseconds duration) override { return engine_.arm(index_, duration); }
  void silence() override { engine_.silence(index_); }
  Status remove() override {
    if (removed_.exchange(true)) return {};
    final_ = engine_.release(index_);
    finished_.store(true);
    return {};
  }
  [[nodiscard]] Counters counters() const override { return finished_.load() ? final_ : engine_.counters(index_); }
  [[nodiscard]] std::map<std::string, std::string> achieved(const Counters& c) const override {
    const std::uint64_t decided = c.injected + c.not_sampled;
    if (decided == 0) return {};
    return {{"probability",
             fmt::format("{:.4g}%", 100.0 * static_cast<double>(c.injected) / static_cast<double>(decided))}};
  }
  [[nodiscard]] TargetState target_state() const override {
    return finished_.load() ? TargetState{} : engine_.target_state(index_);
  }

 private:
  PacketEngine& engine_;
  const unsigned index_;
  std::atomic<bool> removed_{false};
  std::atomic<bool> finished_{false};
  Counters final_;
};

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const Plan& plan = admitted.plan();
  auto probability = get_probability(plan.parameters, "probability");
  if (!probability) return std::unexpected(probability.error());
  chaos_fault fault{};
  fault.seed = *plan.request.seed;
  fault.threshold = probability->threshold32();
  auto index = mechanisms.packets.prepare(plan, fault);
  if (!index) return std::unexpected(index.error());
  return std::make_unique<PacketLoss>(mechanisms.packets, *index);
}

}  // namespace

const FaultKind kPacketLoss{
    .spec = {.name = "packet_loss",
             .help = "lose packets as a network would: silently, in both directions, decided in the kernel",
             .parameters = kParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.interface = true, .netns = true, .filters = true},
             .features = kFeatures},
    .prepare = prepare,
};

}  // namespace chaos
