// What chaosd measures, held against what others say about the same things.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/outside.h"
#include "support/requests.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr const char* kSeldom = "chaosd_host_filesystem_";
constexpr const char* kFast =
    "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n"
    "telemetry: {interval: 50ms}\n";

/// The series of one answer whose round began after `since`.
json metrics_after(const Daemon& daemon, WallTime since, const std::string& pattern = "") {
  json found;
  const bool came = eventually([&] {
    found = daemon.get("/api/monitoring/metrics?pattern=" + pattern).body;
    return found.value("time", "") >= format_rfc3339(since);
  });
  if (!came) throw std::runtime_error("no new round of samples");
  return found.at("metrics");
}

Labels labels_of(const json& series) { return series.at("labels").get<Labels>(); }

/// What an outside reader sees from the first reading to the last: a level may move meanwhile and back.
class OutsideRange {
 public:
  OutsideRange(const OutsideReader& reader, Labels labels)
      : reader_(reader), labels_(std::move(labels)), thread_([this](const std::stop_token& stop) {
          do {
            look();
            std::this_thread::sleep_for(std::chrono::milliseconds(1));  // between two readings
          } while (!stop.stop_requested());
        }) {
    first_.wait(false);
  }
  /// After another reading; nothing if one of them found none.
  std::optional<std::pair<double, double>> close() {
    thread_.request_stop();
    thread_.join();
    look();
    return complete_ ? std::optional(std::pair(least_, most_)) : std::nullopt;
  }

 private:
  void look() {
    if (const auto value = reader_.read(labels_)) {
      least_ = std::min(least_, *value);
      most_ = std::max(most_, *value);
    } else {
      complete_ = false;
    }
    first_.test_and_set();
    first_.notify_all();
  }
  const OutsideReader& reader_;
  const Labels labels_;
  double least_ = std::numeric_limits<double>::infinity();
  double most_ = -std::numeric_limits<double>::infinity();
  bool complete_ = true;
  std::atomic_flag first_;
  std::jthread thread_;
};

/// Empty if the series' value in `all`, which was measured while `outside` looked, lies between its readings.
std::string compare(const json& series, const json& all, const OutsideReader& reader, OutsideRange& outside) {
  const std::string name = series.at("name");
  const auto range = outside.close();
  const auto same = std::ranges::find_if(
      all, [&](const json& one) { return one.at("name") == name && one.at("labels") == series.at("labels"); });
  if (same == all.end()) return range ? "is not shown any more" : "";
  if (!range) return "has no outside reading";
  const double value = same->at("value");
  constexpr double kRounding = 1e-6;
  const double least = range->first - reader.slack - kRounding;
  const double most = range->second + reader.slack + kRounding;
  if (value >= least && value <= most) return {};
  return std::to_string(value) + " is not within " + std::to_string(range->first) + " and " +
         std::to_string(range->second);
}

std::string mismatch(const Daemon& daemon, const json& series, const OutsideReader& reader) {
  OutsideRange outside(reader, labels_of(series));
  const json all = metrics_after(daemon, system_clock().wall() + std::chrono::milliseconds(1), series.at("name"));
  return compare(series, all, reader, outside);
}

/// File systems are looked at every 5 s, and shown as they were then: all at once, since the outside reader has to look
/// for as long.
void compare_seldom(const Daemon& daemon, const json& all_series) {
  std::vector<std::unique_ptr<OutsideRange>> outside;
  for (const json& series : all_series) {
    outside.push_back(std::make_unique<OutsideRange>(outside_readers().at(series.at("name")), labels_of(series)));
  }
  const json all = metrics_after(daemon, system_clock().wall() + std::chrono::milliseconds(5500), kSeldom);
  for (std::size_t i = 0; i < all_series.size(); ++i) {
    const json& series = all_series[i];
    EXPECT_EQ(compare(series, all, outside_readers().at(series.at("name")), *outside[i]), "")
        << series.at("name") << " " << series.at("labels");
  }
}

// Issue 9, "Done when" 1, for what is of the host: each series against an outside reader around it.
TEST(Telemetry, EverySeriesOfTheHostAgreesWithAnOutsideReader) {
  CHAOS_NEEDS_ROOT();
  Daemon::Setup setup;
  setup.config = kFast;
  const Daemon daemon(setup);
  std::set<std::string> seen;
  std::size_t compared = 0;
  json seldom = json::array();
  for (const json& series : metrics_after(daemon, {})) {
    const std::string name = series.at("name");
    if (!name.starts_with("chaosd_host_")) continue;
    const auto reader = outside_readers().find(name);
    ASSERT_NE(reader, outside_readers().end()) << name << " has no outside reader";
    seen.insert(name);
    ++compared;
    if (name.starts_with(kSeldom)) {
      seldom.push_back(series);
      continue;
    }
    std::string wrong;
    // A level may move between the readings and back; a counter may not.
    const bool counter = series.at("type") == "counter";
    const int tries = counter ? 1 : 50;
    for (int i = 0; i < tries; ++i) {
      wrong = mismatch(daemon, series, reader->second);
      if (wrong.empty()) break;
    }
    EXPECT_EQ(wrong, "") << name << " " << series.at("labels");
  }
  compare_seldom(daemon, seldom);
  for (const auto& [name, reader] : outside_readers()) EXPECT_TRUE(seen.contains(name)) << name << " was not shown";
  report_figure("series compared", static_cast<double>(compared), "");
}

double value_of(const json& metrics, const std::string& name, const Labels& labels = {}) {
  for (const json& series : metrics) {
    if (series.at("name") != name) continue;
    const Labels has = labels_of(series);
    if (std::ranges::all_of(labels, [&](const auto& label) {
          return has.contains(label.first) && has.at(label.first) == label.second;
        })) {
      return series.at("value");
    }
  }
  ADD_FAILURE() << name << " is not shown";
  return -1;
}

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
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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

 private:
  UniqueFd fd_;
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
