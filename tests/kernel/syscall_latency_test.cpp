// syscall_latency: each call waits, or is refused with what this kernel lacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "latency_bed.h"
#include "support/observe.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

TEST_F(SyscallLatency, RefusedWithTheReason) {
  const std::string why = refusal("openat");
  utsname kernel{};
  uname(&kernel);
  const std::string release = kernel.release;
  if (why.empty()) {
    EXPECT_FALSE(release.starts_with("6.1.")) << "6.1 has no way to find a task by its number";
    return;
  }
  EXPECT_THAT(why, HasSubstr("openat cannot be made to wait here"));
  // Before 6.2, or where the host refuses it (the machine that builds).
  EXPECT_THAT(why, HasSubstr(release.starts_with("6.1.") ? "bpf_task_from_pid (Linux 6.2)" : "EPERM"));
  const json features = daemon_->get("/api/chaos/features").body;
  EXPECT_THAT(features.dump(), HasSubstr("sleepable_security_hooks"));
  EXPECT_THAT(features.dump(), HasSubstr("sleepable_syscall_entries"));
}

TEST_F(SyscallLatency, EachCallWaitsOrIsRefusedWithTheReason) {
  constexpr int kCalls = 3;
  for (const std::string& call : Caller::calls()) {
    if (const std::string why = refusal(call); !why.empty()) {
      EXPECT_THAT(why, HasSubstr("cannot be made to wait here")) << call;
      std::cout << "wait-row: " << call << " | refused\n";
      continue;
    }
    const json started = daemon_->run_scenario(
        latency(of_cgroup(), {{"syscalls", call}, {"delay", "20ms"}, {"first", kCalls}, {"max_waiters", 2}}));
    const auto began = steady_clock::now();
    EXPECT_EQ(victim_->make(call, kCalls), (Outcomes{{Caller::natural(call), kCalls}})) << call;
    EXPECT_GE(steady_clock::now() - began, milliseconds(20 * kCalls)) << call;
    EXPECT_EQ(neighbour_.make(call, kCalls), (Outcomes{{Caller::natural(call), kCalls}})) << call;
    const json ended = end(id_of(started));
    EXPECT_EQ(Sums(ended).injected, static_cast<std::uint64_t>(kCalls)) << call << ended.at("counters").dump();
    std::cout << "wait-row: " << call << " | " << started.at("plan").at("mechanism").get<std::string>() << "\n";
  }
  expect_no_residue();
}

TEST_F(SyscallLatency, WrongParametersAreNamed) {
  struct Wrong {
    json parameters;
    const char* field;
  };
  const std::vector<Wrong> all{
      {{{"syscalls", "openat"}}, "parameters.delay"},
      {{{"syscalls", "openat"}, {"delay", "6s"}}, "parameters.delay"},
      {{{"syscalls", "openat"}, {"delay", "0s"}}, "parameters.delay"},
      {{{"delay", "1ms"}}, "parameters.syscalls"},
      {{{"syscalls", "openatt"}, {"delay", "1ms"}}, "parameters.syscalls"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"jitter", "2ms"}}, "parameters.jitter"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"distribution", "empirical"}}, "parameters.table"},
      {{{"syscalls", "openat"}, {"delay", "1s"}, {"distribution", "empirical"}, {"table", "1ms,5s"}},
       "parameters.table"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"max_waiters", 1025}}, "parameters.max_waiters"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"max_waiters", 0}}, "parameters.max_waiters"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"every_nth", 2}, {"probability", "10%"}}, "parameters.every_nth"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"path", "relative"}}, "parameters.path"},
      {{{"syscalls", "openat"}, {"delay", "1ms"}, {"fd_type", "thing"}}, "parameters.fd_type"},
  };
  for (const Wrong& wrong : all) {
    const Response response = daemon_->post("/api/chaos/scenarios", latency(of_cgroup(), wrong.parameters));
    EXPECT_EQ(response.status, 400) << wrong.parameters.dump() << response.text;
    EXPECT_EQ(response.body.value("field", ""), wrong.field) << response.text;
    EXPECT_FALSE(response.body.value("rule", "").empty()) << response.text;
  }
}

}  // namespace
}  // namespace chaos::test
