// What chaosd measures, held against what others say about the same things.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"
#include "support/timings.h"
#include "telemetry_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;

TEST(Telemetry, ShowsWhatAFaultInjects) {
  CHAOS_NEEDS_ROOT();
  const VethPair net("telemetry");
  Daemon::Setup setup;
  setup.config = kFast;
  const Daemon daemon(setup);
  const std::string id = id_of(daemon.run_scenario(total_loss(net.left)));
  const Outcome ping = try_shell("ip netns exec " + net.left.name() + " ping -c 7 -i 0.05 -W 0.2 10.77.0.2");
  EXPECT_THAT(ping.output, testing::HasSubstr("7 packets transmitted, 0 received")) << ping.output;
  const auto acting = metrics_after(daemon, system_clock().wall());
  EXPECT_EQ(value_of(acting, "chaosd_scenario_active", {{"id", id}}), 1);
  EXPECT_EQ(value_of(acting, "chaosd_scenarios_running"), 1);
  (void)daemon.stop_scenario(id);
  const auto ended = metrics_after(daemon, system_clock().wall());
  const auto counters = daemon.scenario(id).at("counters");
  EXPECT_EQ(value_of(ended, "chaosd_scenario_active", {{"id", id}}), 0);
  EXPECT_EQ(value_of(ended, "chaosd_fault_injected_total", {{"id", id}}), counters.at("injected").get<double>());
  EXPECT_EQ(value_of(ended, "chaosd_fault_matched_total", {{"id", id}}), counters.at("matched").get<double>());
  EXPECT_EQ(value_of(ended, "chaosd_injected_total", {{"kind", "packet_loss"}}), counters.at("injected").get<double>());
  EXPECT_GE(counters.at("injected").get<double>(), 7);
  EXPECT_EQ(value_of(ended, "chaosd_scenarios_ended_total", {{"kind", "packet_loss"}, {"reason", "stopped"}}), 1);
}

TEST(Telemetry, RatesOfTheHistoryAreThoseOfTheSamples) {
  CHAOS_NEEDS_ROOT();
  Daemon::Setup setup;
  setup.config = kFast;
  const Daemon daemon(setup);
  const std::string metric = "chaosd_host_context_switches_total";
  const auto first = metrics_after(daemon, {}, metric);
  json history;
  ASSERT_TRUE(eventually([&] {
    (void)metrics_after(daemon, system_clock().wall(), metric);
    history = daemon.get("/api/monitoring/history?metric=" + metric + "&since=10m&aggregation=last").body;
    return history.at("series").at(0).at("points").size() >= 5;
  }));
  const json& points = history.at("series").at(0).at("points");
  EXPECT_LE(points.front().at(1), first.at(0).at("value")) << "the first sample was there before";
  for (std::size_t i = 1; i < points.size(); ++i) EXPECT_GT(points[i].at(1), points[i - 1].at(1));
  EXPECT_EQ(daemon.get("/api/monitoring/history?metric=nothing").status, 404);
  EXPECT_EQ(daemon.get("/api/monitoring/history?metric=" + metric + "&step=x").status, 400);
  EXPECT_EQ(daemon.get("/api/monitoring/history?metric=" + metric + "&since=1000h&step=1ms").status, 400);
}

TEST(Telemetry, AServiceIsMeasured) {
  CHAOS_NEEDS_ROOT();
  Daemon::Setup setup;
  const std::string comm = "h" + std::to_string(::getpid()) + "spin";
  setup.config =
      std::string(kFast) + "monitoring: {metrics_interval: 100ms}\nservices:\n  spinner: {process: " + comm + "}\n";
  const Daemon daemon(setup);
  EXPECT_TRUE(eventually([&] {
    const auto now = metrics_after(daemon, system_clock().wall(), "chaosd_service_up");
    return !now.empty() && now.at(0).at("value") == 0;
  }));
  Child child(
      "/bin/bash",
      {"bash", "-c", "printf " + comm + " >/proc/$$/comm; i=0; while ((i++ < 400000)); do :; done; echo ready; read"});
  ASSERT_EQ(child.read_line(), "ready");
  double cpu = 0;
  EXPECT_TRUE(eventually([&] {
    const auto now = metrics_after(daemon, system_clock().wall(), "chaosd_service_");
    for (const json& series : now) {
      if (series.at("name") == "chaosd_service_process_cpu_seconds") cpu = series.at("value");
    }
    return cpu > 0;
  }));
  const double exact = std::chrono::duration<double>(cpu_time(child.pid())).count();
  EXPECT_NEAR(cpu, exact, 0.021) << "of user and system time, in ticks of 10 ms each";
  const auto now = metrics_after(daemon, system_clock().wall(), "chaosd_service_");
  EXPECT_EQ(value_of(now, "chaosd_service_processes", {{"service", "spinner"}}), 1);
  EXPECT_NEAR(value_of(now, "chaosd_service_process_resident_bytes", {{"service", "spinner"}}),
              static_cast<double>(status_kb(child.pid(), "VmRSS")) * 1024, 1 << 20);
}

/// A TCP socket that listens on 127.0.0.1, as long as the object lives.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address_), size) != 0 || ::listen(fd_.get(), 4096) != 0 ||
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address_), &size) != 0) {
      throw std::runtime_error("no listening socket");
    }
  }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }
  void close() { fd_.reset(); }
  /// How many have connected so far.
  unsigned connections() {
    while (true) {
      const UniqueFd one(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!one.valid()) return connections_;
      ++connections_;
    }
  }

 private:
  UniqueFd fd_;
  unsigned connections_ = 0;
  sockaddr_in address_{};
};

json health_of(const Daemon& daemon, const std::string& service) {
  const json body = daemon.get("/api/services").body;
  for (const json& one : body.at("services")) {
    if (one.at("name") == service) return one.value("health", json::object());
  }
  return json::object();
}

/// Processes of a group, without those that have ended and wait to be reaped.
std::size_t members_of(pid_t group) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "stat");
    std::string text;
    if (!std::getline(file, text)) continue;
    std::istringstream rest(text.substr(text.rfind(')') + 1));
    char state = 0;
    pid_t parent = 0;
    pid_t its_group = 0;
    if (rest >> state >> parent >> its_group && its_group == group && state != 'Z') ++count;
  }
  return count;
}

TEST(Telemetry, HealthOfServicesFollowsTheWorld) {
  CHAOS_NEEDS_ROOT();
  Listener listener;
  const TempDir dir;
  const std::string flag = (dir.path() / "well").string();
  const std::string pid_file = (dir.path() / "hung.pid").string();
  std::ofstream(flag) << "17\n";
  Daemon::Setup setup;
  setup.config = std::string(kFast) + "monitoring:\n  metrics_interval: 100ms\n  health_check_timeout: 1s\n" +
                 "  critical_metrics: [system_memory_usage, network_latency, depth, answer, broken, nowhere]\n" +
                 "services:\n" +                                                                                   //
                 "  web: {process: nobody-web, health: {type: tcp, address: \"" + listener.address() + "\"}}\n" +  //
                 "  job: {process: nobody-job, health: {type: command, command: [test, -e, " + flag + "]}}\n" +    //
                 "  slow: {process: nobody-slow, health: {type: command, timeout: 300ms,"
                 " command: [sh, -c, 'echo $$ >" +
                 pid_file + "; sleep 600; true']}}\n" + "telemetry:\n  interval: 50ms\n  sources:\n" +
                 "    depth: {type: file, path: " + flag + "}\n" +
                 "    answer: {type: command, command: [echo, \"42.5\"]}\n" +
                 "    broken: {type: command, command: [echo, many]}\n";
  // One `telemetry` only.
  setup.config.erase(setup.config.find("telemetry: {interval: 50ms}\n"), sizeof("telemetry: {interval: 50ms}\n") - 1);
  const Daemon daemon(setup);
  const auto state = [&](const std::string& service) { return health_of(daemon, service).value("state", ""); };
  EXPECT_TRUE(eventually([&] { return state("web") == "healthy" && state("job") == "healthy"; }))
      << daemon.get("/api/services").text;
  EXPECT_TRUE(eventually([&] { return state("slow") == "unhealthy"; }));
  EXPECT_EQ(health_of(daemon, "slow").value("reason", ""), "no answer within 300 ms, killed");

  const auto now = metrics_after(daemon, system_clock().wall());
  EXPECT_EQ(value_of(now, "chaosd_service_healthy", {{"service", "web"}}), 1);
  EXPECT_EQ(value_of(now, "chaosd_service_healthy", {{"service", "slow"}}), 0);
  EXPECT_EQ(value_of(now, "chaosd_critical_metric", {{"metric", "depth"}}), 17);
  EXPECT_EQ(value_of(now, "chaosd_critical_metric", {{"metric", "answer"}}), 42.5);
  const double latency = value_of(now, "chaosd_critical_metric", {{"metric", "network_latency"}});
  EXPECT_GT(latency, 0);
  EXPECT_LT(latency, 1);
  // Each probe is a connection; one may be under way.
  const double connections_before = listener.connections();
  const auto counted = metrics_after(daemon, system_clock().wall());
  const double checks =
      value_of(counted, "chaosd_service_health_checks_total", {{"service", "web"}, {"result", "passed"}});
  EXPECT_GE(checks + 1, connections_before);
  EXPECT_LE(checks, listener.connections());
  const double connected = value_of(counted, "chaosd_service_connect_round_trip_seconds", {{"service", "web"}});
  EXPECT_GT(connected, 0);
  EXPECT_LE(connected, value_of(counted, "chaosd_service_health_check_duration_seconds", {{"service", "web"}}));
  const double timed_out = value_of(counted, "chaosd_service_health_check_duration_seconds", {{"service", "slow"}});
  EXPECT_GE(timed_out, 0.3) << "its time limit";
  EXPECT_LT(timed_out, 2);
  for (const char* metric : {"broken", "nowhere"}) {
    EXPECT_EQ(value_of(now, "chaosd_critical_metric_missing", {{"metric", metric}}), 1) << metric;
  }
  EXPECT_THAT(daemon.log(), testing::HasSubstr("critical metric broken"));

  listener.close();
  std::filesystem::remove(flag);
  EXPECT_TRUE(eventually([&] { return state("web") == "unhealthy" && state("job") == "unhealthy"; }));
  EXPECT_EQ(health_of(daemon, "job").value("reason", ""), "exit status 1");
  EXPECT_THAT(daemon.get("/api/events?follow=false&last_event_id=0").text, testing::HasSubstr("event: health"));
  std::ofstream(flag) << "18\n";
  EXPECT_TRUE(eventually([&] { return state("job") == "healthy"; }));

  // A command dies with the daemon, whatever it does, and what it has started as well.
  pid_t group = -1;
  ASSERT_TRUE(eventually([&] {
    pid_t pid = 0;
    std::ifstream(pid_file) >> pid;
    group = pid > 0 ? ::getpgid(pid) : -1;
    return group > 0 && members_of(group) >= 3;  // who watches it, the shell, its sleep
  }));
  ASSERT_NE(group, ::getpgrp());
  daemon.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return members_of(group) == 0; })) << members_of(group) << " are left";
}

}  // namespace
}  // namespace chaos::test
