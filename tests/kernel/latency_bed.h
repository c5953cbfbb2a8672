// The bed of the tests of system calls that wait: as that of those that fail, with a process that times its calls.
#pragma once

#include <string>
#include <vector>

#include "syscall_bed.h"
#include "timed_calls.h"

namespace chaos::test {

class SyscallLatency : public SyscallFailure {
 protected:
  void SetUp() override {
    SyscallFailure::SetUp();
    cgroup_->add(timed_.pid());
  }
  static nlohmann::json latency(nlohmann::json target, nlohmann::json parameters,
                                const std::string& duration = "120s") {
    return {{"kind", "syscall_latency"},
            {"target", std::move(target)},
            {"parameters", std::move(parameters)},
            {"duration", duration},
            {"seed", "1"}};
  }
  std::string begin_waits(nlohmann::json parameters, const std::string& duration = "120s") {
    return id_of(daemon_->run_scenario(latency(of_cgroup(), std::move(parameters), duration)));
  }
  /// Why this kernel lets nobody wait in this call; empty: it does.
  [[nodiscard]] std::string refusal(const std::string& call) const {
    const Response planned =
        daemon_->post("/api/chaos/plan", latency(of_cgroup(), {{"syscalls", call}, {"delay", "20ms"}}));
    if (planned.status == 200) return {};
    EXPECT_EQ(planned.status, 501) << call << planned.text;
    EXPECT_EQ(planned.body.value("field", ""), "parameters.syscalls") << call;
    return planned.body.value("detail", "");
  }
  /// The processes that hold and end waits, by their name.
  [[nodiscard]] std::vector<pid_t> helpers() const;
  /// So many threads are in a call that has been going on for so long.
  [[nodiscard]] int waiting(double longer_than_ms = 20) const {
    int count = 0;
    for (int i = 0; i < TimedCalls::kMostThreads; ++i) count += timed_.in_call_ms(i) > longer_than_ms ? 1 : 0;
    return count;
  }
  /// How long it takes from now on until all calls are over, in ms.
  double until_nobody_waits();

  TimedCalls timed_;
  TimedCalls beside_;  ///< in no target
};

}  // namespace chaos::test

/// Ends the test where no call of the kernel's can wait; RefusedWithTheReason looks at why.
#define CHAOS_NEEDS_WAITS(call)                                                   \
  do {                                                                            \
    if (const std::string why = refusal(call); !why.empty()) GTEST_SKIP() << why; \
  } while (false)
