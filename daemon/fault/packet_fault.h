// PacketFault: one fault of the packet engine, as kinds hand it out. Its index is freed when it is removed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "fault/kind.h"
#include "fault/packet_engine.h"

namespace chaos {

class PacketFault final : public Fault {
 public:
  using Achieved = std::function<std::map<std::string, std::string>(const Counters&)>;
  /// Puts `fault` in place for `plan`; nothing acts yet. `achieved`: what a kind measures. Errors: as
  /// PacketEngine::prepare. Worker thread.
  /// `hold`: as PacketEngine::prepare.
  static Result<std::unique_ptr<Fault>> prepare(PacketEngine& engine, const Plan& plan, const chaos_fault& fault,
                                                Achieved achieved, std::shared_ptr<LineFault> hold = {});
  ~PacketFault() override { (void)PacketFault::remove(); }

  Status arm(std::chrono::nanoseconds duration) override { return engine_.arm(index_, duration); }
  void silence() override { engine_.silence(index_); }
  void discard_held() override { discard_.store(true); }
  Status remove() override;
  [[nodiscard]] Counters counters() const override { return finished_.load() ? final_ : engine_.counters(index_); }
  [[nodiscard]] std::map<std::string, std::string> achieved(const Counters& counters) const override {
    return achieved_(counters);
  }
  [[nodiscard]] TargetState target_state() const override {
    return finished_.load() ? TargetState{} : engine_.target_state(index_);
  }
  Status follow(const Reach& reach) override { return removed_.load() ? Status() : engine_.follow(index_, reach); }

 private:
  PacketFault(PacketEngine& engine, unsigned index, Achieved achieved)
      : engine_(engine), index_(index), achieved_(std::move(achieved)) {}
  PacketEngine& engine_;
  const unsigned index_;
  Achieved achieved_;
  std::atomic<bool> discard_{false};
  std::atomic<bool> removed_{false};
  std::atomic<bool> finished_{false};
  Counters final_;
};

}  // namespace chaos
