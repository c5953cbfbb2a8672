#include "bench/own_engine.h"

#include <unistd.h>

#include <chrono>
#include <limits>

#include "fault/registry.h"
#include "plan/parameters.h"
#include "plan/planner.h"

namespace chaos::bench {

OwnEngine::OwnEngine() : engine_(value_of(PacketEngine::create("bench" + std::to_string(getpid())))) {
  engine_->control().lease_until_ns = std::numeric_limits<std::uint64_t>::max();
  engine_->rearm();
}

unsigned OwnEngine::lose(const TargetKeys& target, const std::string& probability) {
  ScenarioRequest request;
  request.kind = "packet_loss";
  request.target = target;
  request.parameters = {{"probability", probability}};
  request.seed = 1;
  request.duration = std::chrono::hours(1);
  const FaultKind& kind = *value_of(find_kind(request.kind));
  const Plan plan = value_of(make_plan(kind.spec, request, {}));
  chaos_fault fault{};
  fault.seed = *plan.request.seed;
  fault.threshold = value_of(get_probability(plan.parameters, "probability")).threshold32();
  const unsigned index = value_of(engine_->prepare(plan, fault));
  check(engine_->arm(index, *plan.request.duration));
  return index;
}

Counters OwnEngine::end(unsigned fault) { return engine_->release(fault); }

}  // namespace chaos::bench
