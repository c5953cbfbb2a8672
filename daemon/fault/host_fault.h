// HostFault: a fault that is a HostChange: applied for its whole duration, or in pulses, by a thread of its own
// (Stint). One application is one event: counted, and a part of the budget.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "fault/host_change.h"
#include "fault/kind.h"
#include "fault/stint.h"

namespace chaos {

/// Pulses; both zero: none, it is applied for the whole duration.
struct Rhythm {
  std::chrono::nanoseconds on{0};
  std::chrono::nanoseconds off{0};
  [[nodiscard]] bool pulsed() const { return off.count() > 0; }
};

/// Pulses that are applied for `share` (0 to 1) of the time, the shorter of both spells being `slice`.
[[nodiscard]] Rhythm slices(double share, std::chrono::nanoseconds slice);

/// What an HostFault has done so far.
struct AppliedTimes {
  std::chrono::nanoseconds applied{0};
  std::chrono::nanoseconds passed{0};  ///< since it was armed, to its end at most
};

class HostFault final : public Fault {
 public:
  struct Options {
    Rhythm rhythm{};
    std::optional<std::uint64_t> max_events{};
    bool shadow = false;  ///< decided and counted, not done
    /// What a kind makes of it all; the change's own figures come on top.
    std::function<std::map<std::string, std::string>(const AppliedTimes&)> achieved{};
  };
  /// The common ones, of a plan's request and parameters. Error: kInvalid.
  static Result<Options> options_of(const Plan& plan);

  HostFault(std::unique_ptr<HostChange> change, ActGate gate, Options options);
  ~HostFault() override { (void)HostFault::remove(); }

  /// The change is there when this returns. Errors: as HostChange::apply.
  Status arm(std::chrono::nanoseconds duration) override;
  void silence() override { stint_.end(); }
  Status remove() override;
  [[nodiscard]] Counters counters() const override;
  [[nodiscard]] std::map<std::string, std::string> achieved(const Counters& counters) const override;
  [[nodiscard]] TargetState target_state() const override;
  Status follow(const Reach& reach) override;

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  void pulse();
  void look();
  Status apply();
  void withdraw();
  [[nodiscard]] AppliedTimes times() const;
  void publish();

  const Options options_;
  mutable std::mutex acting_;  ///< held over calls of the change, which may take long
  std::unique_ptr<HostChange> change_;
  bool removed_ = false;
  mutable std::mutex mutex_;  ///< of what others read; held for moments
  Counters counters_;
  std::optional<Clock::time_point> armed_at_;
  std::optional<Clock::time_point> ended_at_;
  std::optional<Clock::time_point> applied_since_;
  std::chrono::nanoseconds applied_{0};
  std::vector<std::string> remarks_;
  std::map<std::string, std::string> figures_;
  std::string failure_;
  Stint stint_;  ///< last: its thread uses all of the above
};

}  // namespace chaos
