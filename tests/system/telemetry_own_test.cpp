// What chaosd shows of itself, held against what others say: the API's other answers, the kernel about its threads and
// files, who follows its events.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "support/child.h"
#include "support/kernel_test.h"
#include "support/requests.h"
#include "telemetry_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;

json now_of(const Daemon& daemon) { return metrics_after(daemon, system_clock().wall(), "chaosd_"); }

/// CPU time of the thread of that name, in seconds (schedstat).
double thread_cpu(pid_t pid, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::string comm;
    std::getline(std::ifstream(entry.path() / "comm") >> std::ws, comm);
    double ns = 0;
    if (comm == name && std::ifstream(entry.path() / "schedstat") >> ns) return ns / 1e9;
  }
  throw std::runtime_error("no thread " + name);
}

double sum_of(const json& metrics, const std::string& name) {
  double sum = 0;
  for (const json& series : metrics) {
    if (series.at("name") == name) sum += series.at("value").get<double>();
  }
  return sum;
}

class OwnSeries : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 1, blast_radius_limit: 1}\n"
        "telemetry: {interval: 50ms}\n"
        "monitoring: {metrics_interval: 100ms}\n";
    daemon_ = std::make_unique<Daemon>(setup);
  }
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(OwnSeries, ScenariosAndTheBrakeAreAsTheApiSays) {
  const Namespace first("own-first");
  const Namespace second("own-second");
  const std::string id = id_of(daemon_->run_scenario(total_loss(first)));
  const Response queued = daemon_->post("/api/chaos/scenarios", total_loss(second));
  ASSERT_EQ(queued.body.value("state", ""), "queued") << queued.text;
  const Outcome ping = try_shell("ip netns exec " + first.name() + " ping -c 5 -i 0.05 -W 0.2 127.0.0.1");
  ASSERT_NE(ping.status, 0);
  json now = now_of(*daemon_);
  EXPECT_EQ(value_of(now, "chaosd_scenarios_running"), 1);
  EXPECT_EQ(value_of(now, "chaosd_scenarios_waiting"), 1);
  EXPECT_EQ(value_of(now, "chaosd_scenarios_started_total", {{"kind", "packet_loss"}}), 1);
  EXPECT_EQ(value_of(now, "chaosd_armed"), 1);
  EXPECT_EQ(value_of(now, "chaosd_latched"), 0);
  const double margin = value_of(now, "chaosd_lease_margin_seconds");
  EXPECT_GT(margin, 0);
  EXPECT_LE(margin, 1) << "a lease is valid for a second";
  EXPECT_EQ(value_of(now, "chaosd_build_info", {{"version", daemon_->get("/health").body.at("version")}}), 1);

  ASSERT_EQ(daemon_->post("/api/chaos/emergency-stop").status, 200);
  const json counters = wait_for_end(*daemon_, id).at("counters");
  now = now_of(*daemon_);
  for (const char* outcome : {"evaluated", "matched", "injected", "not_sampled", "spared_protected", "spared_budget",
                              "spared_expired", "over_limit", "shadowed"}) {
    EXPECT_EQ(value_of(now, std::string("chaosd_fault_") + outcome + "_total", {{"id", id}}),
              counters.at(outcome).get<double>())
        << outcome;
  }
  EXPECT_GE(counters.at("injected").get<int>(), 5) << "pings that were lost";
  EXPECT_EQ(value_of(now, "chaosd_injected_total", {{"kind", "packet_loss"}}), counters.at("injected").get<double>());
  EXPECT_EQ(value_of(now, "chaosd_scenario_active", {{"id", id}}), 0);
  EXPECT_EQ(sum_of(now, "chaosd_scenarios_ended_total"), 2);
  EXPECT_EQ(value_of(now, "chaosd_scenarios_running"), 0);
  EXPECT_EQ(value_of(now, "chaosd_scenarios_waiting"), 0);
  EXPECT_EQ(value_of(now, "chaosd_armed"), 0);
  EXPECT_EQ(value_of(now, "chaosd_latched"), 1);
}

TEST_F(OwnSeries, FollowersOfTheEventsAreCounted) {
  const auto followers = [&] { return value_of(now_of(*daemon_), "chaosd_event_subscribers"); };
  EXPECT_EQ(followers(), 0);
  {
    const std::string follow = "curl -sN --max-time 60 --unix-socket " + daemon_->socket() + " http://d/api/events";
    const Child one("/bin/sh", {"sh", "-c", "exec " + follow});
    const Child other("/bin/sh", {"sh", "-c", "exec " + follow});
    EXPECT_TRUE(eventually([&] { return followers() == 2; })) << followers();
  }
  // One who has gone is noticed at the next keep-alive, every 15 s.
  EXPECT_TRUE(eventually([&] { return followers() == 0; }, std::chrono::seconds(20))) << followers();
}

TEST_F(OwnSeries, WhatTelemetryCostsIsWhatTheKernelSays) {
  const json before = now_of(*daemon_);
  const double cpu_before = thread_cpu(daemon_->pid(), "telemetry");
  const auto began = std::chrono::steady_clock::now();
  json now;
  ASSERT_TRUE(eventually([&] {
    now = now_of(*daemon_);
    return value_of(now, "chaosd_collector_runs_total", {{"collector", "cpu"}}) -
               value_of(before, "chaosd_collector_runs_total", {{"collector", "cpu"}}) >=
           20;
  }));
  const double cpu_after = thread_cpu(daemon_->pid(), "telemetry");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const double cost =
      sum_of(now, "chaosd_collector_cpu_seconds_total") - sum_of(before, "chaosd_collector_cpu_seconds_total");
  EXPECT_GT(cost, 0);
  EXPECT_LE(cost, cpu_after - cpu_before + 0.001) << "the collectors run on that thread, and it does more";
  EXPECT_LE(sum_of(now, "chaosd_collector_duration_seconds"), sum_of(now, "chaosd_collector_cpu_seconds_total"));
  EXPECT_EQ(sum_of(now, "chaosd_collector_errors_total"), 0);
  // It samples every 100 ms, and when somebody asks, at most every 50 ms.
  const double rounds = value_of(now, "chaosd_collector_runs_total", {{"collector", "cpu"}}) -
                        value_of(before, "chaosd_collector_runs_total", {{"collector", "cpu"}});
  EXPECT_LE(rounds, took.count() / 0.05 + 2);
  EXPECT_LE(value_of(now, "chaosd_telemetry_rounds_missed_total"), rounds);
}

TEST_F(OwnSeries, SeriesAndHistoryAreAsLargeAsTheyAre) {
  json now;
  // Those that came with this very round are counted with the next.
  EXPECT_TRUE(eventually([&] {
    now = now_of(*daemon_);
    return value_of(now, "chaosd_telemetry_series") == static_cast<double>(now.size());
  })) << value_of(now, "chaosd_telemetry_series")
      << " of " << now.size();
  EXPECT_EQ(value_of(now, "chaosd_telemetry_series_refused_total"), 0);
  const double resident = [&] {
    std::ifstream statm("/proc/" + std::to_string(daemon_->pid()) + "/statm");
    double whole = 0;
    double pages = 0;
    statm >> whole >> pages;
    return pages * 4096;
  }();
  const double in_memory = value_of(now, "chaosd_telemetry_history_bytes");
  EXPECT_GT(in_memory, 0);
  EXPECT_LT(in_memory, resident);
  const auto on_disk = [&] {
    double bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(daemon_->state_dir())) {
      const std::string name = entry.path().filename();
      if (name.starts_with("chaosd-history.db")) bytes += static_cast<double>(entry.file_size());
    }
    return bytes;
  };
  EXPECT_TRUE(eventually([&] {
    const double before = on_disk();
    const double shown = value_of(now_of(*daemon_), "chaosd_telemetry_history_file_bytes");
    return shown > 0 && before == on_disk() && shown == before;
  })) << value_of(now_of(*daemon_), "chaosd_telemetry_history_file_bytes")
      << ", on disk " << on_disk();
}

}  // namespace
}  // namespace chaos::test
