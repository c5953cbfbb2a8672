// System calls of a target: how many, how they end, injected errors told apart from natural ones, how long they take.
// Observer: the processes that call.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "kernel/syscall_probes.h"
#include "support/child.h"
#include "support/outside.h"
#include "syscall_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;

/// As many as were made; or, on a kernel that leaves programs out, as many less as it says.
void expect_all(const json& found, int made, const json& report) {
  const int missed = report.at("missed").get<int>();
  if (!may_preempt_syscall_tracepoints()) {
    EXPECT_EQ(missed, 0);
  }
  EXPECT_LE(found.get<int>(), made) << report;
  EXPECT_GE(found.get<int>() + missed, made) << report;
}

class WatchSyscalls : public SyscallFailure {
 protected:
  [[nodiscard]] json look(const std::string& target) const {
    const Response answer = daemon_->get("/api/monitoring/syscalls?lease=30s&target=" + target);
    if (answer.status != 200) throw std::runtime_error(answer.text);
    return answer.body;
  }
};

json call_of(const json& report, const std::string& name) {
  for (const json& call : report.at("syscalls")) {
    if (call.at("name") == name) return call;
  }
  return {{"calls", 0}, {"errors", {{"natural", 0}, {"injected", 0}}}, {"errnos", json::array()}};
}

TEST_F(WatchSyscalls, CallsAndErrorsAreExactAndInjectedOnesAreToldApart) {
  constexpr int kCalls = 500;
  constexpr int kInjected = 100;
  const std::string target = "cgroup=" + cgroup_->path();
  const auto began = std::chrono::steady_clock::now();
  (void)look(target);
  // What fails by itself.
  EXPECT_EQ(victim_->make("recvfrom", kCalls), (Outcomes{{EAGAIN, kCalls}}));
  const std::string id = begin(of_cgroup(), {{"syscalls", "socket"}, {"first", kInjected}});
  const int threads = 4;
  EXPECT_EQ(victim_->make("socket", kCalls, threads), (Outcomes{{0, kCalls - kInjected}, {kError, kInjected}}));
  EXPECT_EQ(neighbour_.make("socket", 300), (Outcomes{{0, 300}}));
  (void)end(id);
  const json report = look(target);
  const json sockets = call_of(report, "socket");
  EXPECT_GE(sockets.at("calls"), kCalls);
  const json failed = sockets.at("errors").at("injected");
  expect_all(failed, kInjected, report);
  EXPECT_EQ(sockets.at("errors").at("natural"), 0) << sockets;
  EXPECT_EQ(sockets.at("errnos"), (json{{{"errno", kErrorName}, {"natural", 0}, {"injected", failed}}}));
  const json receives = call_of(report, "recvfrom");
  expect_all(receives.at("calls"), kCalls, report);
  RecordProperty("counted", receives.at("calls").get<int>());
  RecordProperty("missed", report.at("missed").get<int>());
  EXPECT_EQ(receives.at("errnos"), (json{{{"errno", "EAGAIN"}, {"natural", receives.at("calls")}, {"injected", 0}}}));
  std::uint64_t samples = 0;
  for (const json& bucket : sockets.at("latency").at("buckets")) samples += bucket.at("count").get<std::uint64_t>();
  EXPECT_EQ(samples, sockets.at("calls"));
  EXPECT_LT(sockets.at("calls").get<int>(), kCalls + 100) << "the neighbour's were counted";
  // The series say the same, of the rounds that begin from now on.
  const auto series = [&](const std::string& name, Labels labels) {
    labels["scope"] = report.at("scope");
    return series_value(*daemon_, name, labels);
  };
  EXPECT_TRUE(eventually([&] {
    return series("chaosd_syscalls_total", {{"syscall", "recvfrom"}}) == receives.at("calls");
  }));
  EXPECT_EQ(
      series("chaosd_syscall_errors_total", {{"syscall", "recvfrom"}, {"errno", "EAGAIN"}, {"origin", "natural"}}),
      receives.at("calls").get<int>());
  EXPECT_EQ(
      series("chaosd_syscall_errors_total", {{"syscall", "socket"}, {"errno", kErrorName}, {"origin", "injected"}}),
      failed.get<int>());
  const double seconds = series("chaosd_syscall_seconds_total", {{"syscall", "recvfrom"}});
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  expect_no_residue();
}

TEST_F(WatchSyscalls, ErrorsOfTheSameCallWithTheSameErrnoAreToldApart) {
  constexpr int kCalls = 800;
  const std::string target = "cgroup=" + cgroup_->path();
  (void)look(target);
  // Who gets no socket binds none: EBADF by itself, between those that are injected.
  const std::string sockets = begin(of_cgroup(), {{"syscalls", "socket"}, {"every_nth", 3}});
  const std::string binds = begin(of_cgroup(), {{"syscalls", "bind"}, {"errno", "EBADF"}, {"probability", "50%"}});
  Outcomes seen = victim_->make("bind", kCalls, 4);
  const auto injected = static_cast<int>(Sums(end(binds)).injected);
  EXPECT_EQ(Sums(end(sockets)).injected, static_cast<std::uint64_t>(kCalls / 3));
  const int natural = seen[EBADF] - injected;
  EXPECT_GT(injected, 0);
  EXPECT_GT(natural, 0);
  EXPECT_EQ(seen[0] + seen[EBADF], kCalls);
  const json report = look(target);
  const json binding = call_of(report, "bind").at("errnos");
  ASSERT_EQ(binding.size(), 1U) << report;
  EXPECT_EQ(binding[0].at("errno"), "EBADF");
  expect_all(binding[0].at("natural"), natural, report);
  expect_all(binding[0].at("injected"), injected, report);
  const json opening = call_of(report, "socket").at("errnos");
  ASSERT_EQ(opening.size(), 1U) << report;
  EXPECT_EQ(opening[0].at("errno"), kErrorName);
  EXPECT_EQ(opening[0].at("natural"), 0);
  expect_all(opening[0].at("injected"), kCalls / 3, report);
}

TEST_F(WatchSyscalls, OfAProcessWithWhatItForksAndHowLongItTakes) {
  constexpr int kTimes = 10;
  const Child shell("/bin/sh",
                    {"sh", "-c", "read go; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done; echo over; read go"});
  const std::string target = "pid=" + std::to_string(shell.pid());
  EXPECT_THAT(look(target).at("scope").get<std::string>(), testing::HasSubstr(std::to_string(shell.pid())));
  const auto began = std::chrono::steady_clock::now();
  shell.write_line("go");
  EXPECT_EQ(shell.read_line(), "over");
  const double took_us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
  const json report = look(target);
  json sleeps = call_of(report, "clock_nanosleep");
  if (sleeps.at("calls") == 0) sleeps = call_of(report, "nanosleep");
  ASSERT_EQ(sleeps.at("calls"), kTimes) << report.dump(1);
  constexpr double kAsked = 50'000;
  const double mean = sleeps.at("latency").at("mean_us");
  EXPECT_GE(mean, kAsked);
  EXPECT_LE(mean * kTimes, took_us);
  EXPECT_GE(sleeps.at("latency").at("p50_us").get<double>(), kAsked);
  for (const json& bucket : sleeps.at("latency").at("buckets"))
    EXPECT_GE(bucket.at("le_ns").get<double>(), kAsked * 1000);
  EXPECT_GE(call_of(report, "execve").at("calls"), kTimes) << "of what it has forked since";
}

TEST_F(WatchSyscalls, ATargetIsRequired) {
  const Response refused = daemon_->get("/api/monitoring/syscalls?lease=5s");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.body.value("field", ""), "query.target");
}

}  // namespace
}  // namespace chaos::test
