// The bed of the tests of system calls that fail: a process in a cgroup that is the target, one beside it, a chaosd.
#pragma once

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "caller.h"
#include "loss_support.h"
#include "support/cgroup.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/requests.h"

namespace chaos::test {

/// Nothing here fails with it by itself.
inline constexpr int kError = EDQUOT;
inline constexpr const char* kErrorName = "EDQUOT";

/// Calls that the kernels of tests/vm are known to be able to fail, so that it is noticed when they are refused.
[[nodiscard]] inline std::vector<std::string> known_here() {
  utsname kernel{};
  uname(&kernel);
  const std::string release = kernel.release;
  if (release.contains("fault")) return {"read", "openat", "close", "fsync", "io_uring_read"};
  if (release.contains("cloud")) return {"read", "openat", "io_uring_read"};
  return {"socket", "connect"};
}

class SyscallFailure : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    cgroup_ = std::make_unique<TestCgroup>("calls");
    victim_ = std::make_unique<Caller>();
    cgroup_->add(victim_->pid());
    Daemon::Setup setup;
    setup.config = "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, safety_timeout: 15m}\n";
    setup.config += "services: {web: {cgroup: " + cgroup_->path() + "}}\n";
    daemon_ = std::make_unique<Daemon>(std::move(setup));
  }
  static nlohmann::json failure(nlohmann::json target, nlohmann::json parameters,
                                const std::string& duration = "120s") {
    if (!parameters.contains("errno")) parameters["errno"] = kErrorName;
    return {{"kind", "syscall_failure"},
            {"target", std::move(target)},
            {"parameters", std::move(parameters)},
            {"duration", duration},
            {"seed", "1"}};
  }
  [[nodiscard]] nlohmann::json of_cgroup() const { return {{"cgroup", cgroup_->path()}}; }
  /// All `call` of the cgroup fail.
  std::string begin(nlohmann::json target, nlohmann::json parameters, const std::string& duration = "120s") {
    return id_of(daemon_->run_scenario(failure(std::move(target), std::move(parameters), duration)));
  }
  nlohmann::json end(const std::string& id) {
    nlohmann::json ended = daemon_->stop_scenario(id);
    EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
    EXPECT_TRUE(closes(ended.at("counters"))) << ended.at("counters").dump();
    return ended;
  }
  /// The sums, with what is decided in shadow.
  static bool closes(const nlohmann::json& counters) {
    int parts = 0;
    for (const char* part :
         {"injected", "shadowed", "not_sampled", "spared_protected", "spared_budget", "spared_expired", "over_limit"}) {
      parts += counters.at(part).get<int>();
    }
    return counters.at("matched") == parts &&
           counters.at("evaluated") == counters.at("matched").get<int>() + counters.at("unmatched").get<int>();
  }
  [[nodiscard]] bool fails(const Caller& caller, const std::string& call = "socket") const {
    return caller.make(call, 1) == Outcomes{{kError, 1}};
  }
  void expect_no_residue() const {
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }

  std::unique_ptr<TestCgroup> cgroup_;
  std::unique_ptr<Caller> victim_;
  Caller neighbour_;
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace chaos::test
