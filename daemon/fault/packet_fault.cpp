#include "fault/packet_fault.h"

namespace chaos {

Result<std::unique_ptr<Fault>> PacketFault::prepare(PacketEngine& engine, const Plan& plan, const chaos_fault& fault,
                                                    Achieved achieved, std::shared_ptr<LineFault> hold) {
  auto index = engine.prepare(plan, fault, std::move(hold));
  if (!index) return std::unexpected(index.error());
  return std::unique_ptr<Fault>(new PacketFault(engine, *index, std::move(achieved)));
}

Status PacketFault::remove() {
  if (removed_.exchange(true)) return {};
  final_ = engine_.release(index_, discard_.load());
  finished_.store(true);
  return {};
}

}  // namespace chaos
