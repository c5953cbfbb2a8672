// syscall_failure: the calls of a target end with the errno that was asked for, as often as was asked for, and nobody
// else's do. Observer: the processes that call. What this kernel cannot do is refused, and says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/contains.h"
#include "support/child.h"
#include "support/observe.h"
#include "support/temp_dir.h"
#include "support/time_scale.h"
#include "support/timings.h"
#include "syscall_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

TEST_F(SyscallFailure, EachCallFailsOrIsRefusedWithTheReason) {
  constexpr int kCalls = 50;
  const std::vector<std::string> known = known_here();
  for (const std::string& call : Caller::calls()) {
    const Outcomes untouched{{Caller::natural(call), kCalls}};
    ASSERT_EQ(victim_->make(call, kCalls), untouched) << call;
    const Response planned = daemon_->post("/api/chaos/plan", failure(of_cgroup(), {{"syscalls", call}}));
    if (planned.status != 200) {
      EXPECT_EQ(planned.status, 501) << call << planned.text;
      EXPECT_FALSE(contains(known, call)) << planned.text;
      EXPECT_THAT(planned.body.value("detail", ""), HasSubstr("cannot be failed here")) << call;
      EXPECT_EQ(planned.body.value("field", ""), "parameters.syscalls") << call;
      std::cout << "row: " << call << " | refused\n";
      continue;
    }
    const json started = daemon_->run_scenario(failure(of_cgroup(), {{"syscalls", call}}));
    EXPECT_EQ(victim_->make(call, kCalls), (Outcomes{{kError, kCalls}})) << call;
    EXPECT_EQ(neighbour_.make(call, kCalls), untouched) << call;
    const json ended = end(id_of(started));
    EXPECT_EQ(Sums(ended).injected, static_cast<std::uint64_t>(kCalls)) << call << ended.at("counters").dump();
    EXPECT_EQ(ended.at("achieved").value(call + " " + kErrorName, ""), std::to_string(kCalls)) << call;
    EXPECT_EQ(victim_->make(call, kCalls), untouched) << call;
    std::cout << "row: " << call << " | " << started.at("plan").at("mechanism").get<std::string>() << "\n";
  }
  expect_no_residue();
}

/// strace at a process, with all of its threads and children.
class Strace {
 public:
  Strace(pid_t process, const std::string& call)
      : child_("/bin/sh", {"sh", "-c",
                           "exec strace -f -qq -e signal=none -e trace=" + call + " -o " + file_.string() + " -p " +
                               std::to_string(process)}) {
    attached_ = eventually([&] { return tracer_of(process) != 0; }, seconds(20));
  }
  [[nodiscard]] bool attached() const { return attached_; }
  /// Lets the process go; how many calls it has seen end in this way.
  int saw(const std::string& end) {
    ::kill(child_.pid(), SIGTERM);
    (void)child_.wait();
    int count = 0;
    std::ifstream trace(file_);
    for (std::string line; std::getline(trace, line);) count += line.contains(end) ? 1 : 0;
    return count;
  }

 private:
  static int tracer_of(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string word; status >> word;) {
      if (word == "TracerPid:" && status >> word) return std::stoi(word);
    }
    return 0;
  }
  TempDir dir_;
  std::filesystem::path file_ = dir_.path() / "trace";
  Child child_;
  bool attached_ = false;
};

TEST_F(SyscallFailure, StraceSeesTheSameErrno) {
  constexpr int kCalls = 5;
  int compared = 0;
  for (const std::string& call : Caller::calls()) {
    // What a ring does is no call.
    if (call.starts_with("io_uring")) continue;
    if (daemon_->post("/api/chaos/plan", failure(of_cgroup(), {{"syscalls", call}})).status != 200) continue;
    Strace strace(victim_->pid(), call);
    ASSERT_TRUE(strace.attached()) << call;
    const std::string id = begin(of_cgroup(), {{"syscalls", call}, {"first", kCalls}});
    EXPECT_EQ(victim_->make(call, kCalls), (Outcomes{{kError, kCalls}})) << call;
    (void)end(id);
    EXPECT_EQ(strace.saw(std::string("= -1 ") + kErrorName + " ("), kCalls) << call;
    ++compared;
  }
  std::cout << compared << " calls compared\n";
  EXPECT_GE(compared, 6);
}

TEST_F(SyscallFailure, AShareOfThemFails) {
  const int calls = full_size() ? 20'000 : 4'000;
  const int seeds = full_size() ? 20 : 4;
  constexpr double kShare = 0.1;
  std::uint64_t sum = 0;
  for (int seed = 1; seed <= seeds; ++seed) {
    json request = failure(of_cgroup(), {{"syscalls", "socket"}, {"probability", "10%"}});
    request["seed"] = std::to_string(seed);
    const std::string id = id_of(daemon_->run_scenario(request));
    const Outcomes seen = victim_->make("socket", calls);
    const Sums sums(end(id));
    const double failed = seen.contains(kError) ? seen.at(kError) : 0;
    EXPECT_EQ(static_cast<double>(sums.injected), failed);
    EXPECT_EQ(sums.matched, static_cast<std::uint64_t>(calls));
    const double sigma = std::sqrt(calls * kShare * (1 - kShare));
    EXPECT_NEAR(failed, calls * kShare, 4 * sigma) << "seed " << seed;
    sum += sums.injected;
  }
  const double all = static_cast<double>(calls) * seeds;
  EXPECT_NEAR(static_cast<double>(sum), all * kShare, 4 * std::sqrt(all * kShare * (1 - kShare)));
}

TEST_F(SyscallFailure, EveryNthAndTheFirstAreExactOverEightThreads) {
  constexpr int kCalls = 8'000;
  const std::string every = begin(of_cgroup(), {{"syscalls", "socket"}, {"every_nth", 7}});
  EXPECT_EQ(victim_->make("socket", kCalls, 8), (Outcomes{{0, kCalls - kCalls / 7}, {kError, kCalls / 7}}));
  EXPECT_EQ(Sums(end(every)).injected, static_cast<std::uint64_t>(kCalls / 7));

  const std::string first = begin(of_cgroup(), {{"syscalls", "socket"}, {"first", 100}});
  EXPECT_EQ(victim_->make("socket", kCalls, 8), (Outcomes{{0, kCalls - 100}, {kError, 100}}));
  EXPECT_EQ(Sums(end(first)).injected, 100U);

  const std::string budget = begin(of_cgroup(), {{"syscalls", "socket"}, {"max_events", 50}});
  EXPECT_EQ(victim_->make("socket", kCalls, 8), (Outcomes{{0, kCalls - 50}, {kError, 50}}));
  EXPECT_EQ(Sums(end(budget)).injected, 50U);

  // What comes beyond it is counted by what sees each call, which is asked for by "first".
  const std::string both = begin(of_cgroup(), {{"syscalls", "socket"}, {"first", kCalls}, {"max_events", 50}});
  EXPECT_EQ(victim_->make("socket", kCalls, 8), (Outcomes{{0, kCalls - 50}, {kError, 50}}));
  EXPECT_EQ(end(both).at("counters").at("spared_budget"), kCalls - 50);
}

TEST_F(SyscallFailure, SeveralErrnosByTheirWeights) {
  constexpr int kCalls = 4'000;
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}, {"errno", "EIO:3,ENOSPC"}});
  Outcomes seen = victim_->make("socket", kCalls);
  EXPECT_EQ(seen[EIO] + seen[ENOSPC], kCalls);
  EXPECT_NEAR(seen[EIO], kCalls * 0.75, 4 * std::sqrt(kCalls * 0.75 * 0.25));
  const json achieved = end(id).at("achieved");
  EXPECT_EQ(achieved.value("socket EIO", ""), std::to_string(seen[EIO]));
  EXPECT_EQ(achieved.value("socket ENOSPC", ""), std::to_string(seen[ENOSPC]));
}

TEST_F(SyscallFailure, OtherCallsGoOn) {
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}});
  for (const char* call : {"setsockopt", "bind", "sendto"}) {
    const Outcomes seen = victim_->make(call, 5);
    // bind makes a socket for itself first, which fails.
    EXPECT_EQ(seen, (Outcomes{{std::string(call) == "bind" ? EBADF : 0, 5}})) << call;
  }
  (void)end(id);
}

TEST_F(SyscallFailure, AServiceAndWhatComesToItLater) {
  const std::string id = begin({{"service", "web"}}, {{"syscalls", "socket"}});
  EXPECT_TRUE(fails(*victim_));
  EXPECT_FALSE(fails(neighbour_));
  cgroup_->add(neighbour_.pid());
  EXPECT_TRUE(fails(neighbour_));
  (void)end(id);
  EXPECT_FALSE(fails(neighbour_));
}

TEST_F(SyscallFailure, AProcessAndWhatItForks) {
  const std::string id = begin({{"pid", std::to_string(neighbour_.pid())}}, {{"syscalls", "socket"}});
  EXPECT_TRUE(fails(neighbour_));
  EXPECT_EQ(neighbour_.make_by_child("socket", 3), (Outcomes{{kError, 3}}));
  EXPECT_FALSE(fails(*victim_));
  (void)end(id);
  EXPECT_FALSE(fails(neighbour_));
  expect_no_residue();
}

TEST_F(SyscallFailure, AUserAndAName) {
  const Caller user({.uid = 61234});
  const Caller named({.comm = "chaosprobe"});
  cgroup_->add(user.pid());
  cgroup_->add(named.pid());
  const std::string by_user = begin({{"cgroup", cgroup_->path()}, {"uid", "61234"}}, {{"syscalls", "socket"}});
  EXPECT_TRUE(fails(user));
  EXPECT_FALSE(fails(*victim_));
  EXPECT_FALSE(fails(named));
  (void)end(by_user);
  const std::string by_name = begin({{"cgroup", cgroup_->path()}, {"comm", "chaosprobe"}}, {{"syscalls", "socket"}});
  EXPECT_TRUE(fails(named));
  EXPECT_FALSE(fails(*victim_));
  (void)end(by_name);
  // A user in a network namespace, wherever in the tree.
  const std::string by_namespace =
      begin({{"netns", std::to_string(::getpid())}, {"uid", "61234"}}, {{"syscalls", "socket"}});
  EXPECT_TRUE(fails(user));
  EXPECT_FALSE(fails(*victim_));
  (void)end(by_namespace);
}

TEST_F(SyscallFailure, WhoeverPeopleLogInWithIsSpared) {
  const Caller login({.comm = "sshd"});
  cgroup_->add(login.pid());
  const Response refused = daemon_->post("/api/chaos/plan", failure(of_cgroup(), {{"syscalls", "socket"}}));
  EXPECT_EQ(refused.status, 409) << refused.text;
  // One that comes later.
  TestCgroup other("later");
  const Caller first;
  other.add(first.pid());
  const std::string id = begin({{"cgroup", other.path()}}, {{"syscalls", "socket"}});
  other.add(login.pid());
  EXPECT_TRUE(fails(first));
  EXPECT_FALSE(fails(login));
  EXPECT_EQ(end(id).at("counters").at("spared_protected"), 1);
}

TEST_F(SyscallFailure, InShadowItOnlyCounts) {
  json request = failure(of_cgroup(), {{"syscalls", "socket"}});
  request["mode"] = "shadow";
  const std::string id = id_of(daemon_->run_scenario(request));
  EXPECT_EQ(victim_->make("socket", 20), (Outcomes{{0, 20}}));
  EXPECT_EQ(end(id).at("counters").at("shadowed"), 20);
}

TEST_F(SyscallFailure, TwoOnOneCallBothCount) {
  const std::string first = begin(of_cgroup(), {{"syscalls", "socket"}});
  const std::string second = begin({{"service", "web"}}, {{"syscalls", "socket"}});
  EXPECT_EQ(victim_->make("socket", 10), (Outcomes{{kError, 10}}));
  (void)end(first);
  EXPECT_EQ(victim_->make("socket", 10), (Outcomes{{kError, 10}}));
  (void)end(second);
  EXPECT_EQ(victim_->make("socket", 10), (Outcomes{{0, 10}}));
}

TEST_F(SyscallFailure, WrongParametersAreNamed) {
  struct Wrong {
    json parameters;
    const char* field;
  };
  const std::vector<Wrong> all{
      {{{"syscalls", "sockett"}}, "parameters.syscalls"},
      {{{"syscalls", ""}}, "parameters.syscalls"},
      {{{"syscalls", "socket,"}}, "parameters.syscalls"},
      {{{"syscalls", "socket"}, {"errno", "EWHAT"}}, "parameters.errno"},
      {{{"syscalls", "socket"}, {"errno", "EIO:0"}}, "parameters.errno"},
      {{{"syscalls", "socket"}, {"errno", "EIO,EIO"}}, "parameters.errno"},
      {{{"syscalls", "socket"}, {"every_nth", 2}, {"probability", "10%"}}, "parameters.every_nth"},
      {{{"syscalls", "socket"}, {"every_nth", 0}}, "parameters.every_nth"},
      {{{"syscalls", "socket"}, {"path", "relative"}}, "parameters.path"},
      {{{"syscalls", "socket"}, {"path", "/" + std::string(200, 'x')}}, "parameters.path"},
      {{{"syscalls", "socket"}, {"fd_type", "thing"}}, "parameters.fd_type"},
      {{{"syscalls", "socket"}, {"fd_type", "socket"}}, "parameters.fd_type"},
      {{{"syscalls", "socket"}, {"min_size", "4k"}}, "parameters.min_size"},
  };
  for (const Wrong& wrong : all) {
    const Response response = daemon_->post("/api/chaos/scenarios", failure(of_cgroup(), wrong.parameters));
    EXPECT_EQ(response.status, 400) << wrong.parameters.dump() << response.text;
    EXPECT_EQ(response.body.value("field", ""), wrong.field) << response.text;
    EXPECT_FALSE(response.body.value("rule", "").empty()) << response.text;
  }
  EXPECT_EQ(daemon_->post("/api/chaos/scenarios", failure({{"pid", "1"}}, {{"syscalls", "socket"}})).status, 409);
}

TEST_F(SyscallFailure, ItEndsByItselfInTheKernel) {
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}}, "1s");
  const auto began = steady_clock::now();
  EXPECT_TRUE(fails(*victim_));
  EXPECT_TRUE(eventually([&] { return !fails(*victim_); }, seconds(5)));
  EXPECT_GE(steady_clock::now() - began, milliseconds(500));
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "expired");
  expect_no_residue();
}

TEST_F(SyscallFailure, ItEndsWithChaosd) {
  Timings times;
  for (int i = 0; i < by_size(5, 50); ++i) {
    if (!daemon_->running()) daemon_->start();
    // All hooks that this kernel has, some of which go after others.
    (void)begin(of_cgroup(), {{"syscalls", "network"}});
    ASSERT_TRUE(fails(*victim_));
    const BpfObjects objects = bpf_objects_of(daemon_->pid());
    const auto killed = steady_clock::now();
    daemon_->signal(SIGKILL);
    while (fails(*victim_) && steady_clock::now() - killed < seconds(3)) continue;
    times.add(steady_clock::now() - killed);
    (void)daemon_->wait();
    EXPECT_TRUE(eventually([&] { return still_there(objects).empty(); }));
  }
  times.report("kill -9 to the first call that succeeds");
  // As of packets. On a machine with other work the observer has to wait at times; the lease would take a second.
  EXPECT_LE(times.percentile(by_size(50, 99)), 20 * time_scale());
}

TEST_F(SyscallFailure, AHungDaemonLosesItsLease) {
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}});
  ASSERT_TRUE(fails(*victim_));
  daemon_->signal(SIGSTOP);
  const auto stopped = steady_clock::now();
  EXPECT_TRUE(eventually([&] { return !fails(*victim_); }, seconds(5)));
  EXPECT_LE(steady_clock::now() - stopped, milliseconds(1500) * time_scale());
  daemon_->signal(SIGCONT);
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "lapsed");
  EXPECT_FALSE(fails(*victim_));
}

TEST_F(SyscallFailure, TheEmergencyStopEndsItAtOnce) {
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}});
  ASSERT_TRUE(fails(*victim_));
  EXPECT_EQ(daemon_->post("/api/chaos/emergency-stop").status, 200);
  EXPECT_FALSE(fails(*victim_));
  EXPECT_EQ(wait_for_end(*daemon_, id).value("end_reason", ""), "emergency_stop");
  expect_no_residue();
}

}  // namespace
}  // namespace chaos::test
