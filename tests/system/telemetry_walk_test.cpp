// Each series that chaosd shows of the host, of a service and of a target, held against what others say of the same
// thing. Where the others are read is in support/outside.h; series_readers.txt names who reads the rest.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/disk.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/requests.h"
#include "support/text_file.h"
#include "support/timings.h"
#include "telemetry_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr const char* kSeldom = "chaosd_host_filesystem_";

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
  const WallTime began = system_clock().wall();
  const json all = metrics_after(daemon, began + std::chrono::milliseconds(5500), kSeldom);
  for (const json& series : all) {
    EXPECT_GE(series.at("time"), format_rfc3339(began)) << series << "\nhas the time of its own measurement";
  }
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

/// The file of a controller where a group's limits are, by either version's name; the v2 tree's own without a
/// controller.
struct GroupFile {
  std::string v2;
  std::string v1{};
};

/// What some processes use, and a cgroup of their own in all hierarchies that count it. One of them computes all the
/// time, more than it may; they have read and written, and one was killed for want of memory.
class BusyGroup {
 public:
  BusyGroup() {
    for (const auto& [controller, v1_name] : std::map<std::string, std::string>{
             {"cpu", ""}, {"cpuacct", ""}, {"io", "blkio"}, {"memory", ""}, {"pids", ""}}) {
      // A part of v2's cpu.
      if (controller == "cpuacct" && !std::filesystem::exists("/sys/fs/cgroup/cpuacct")) continue;
      cgroups_[controller] = std::make_unique<LimitedCgroup>(controller, v1_name);
    }
    limit("memory", {"memory.max", "memory.limit_in_bytes"}, {"67108864", "67108864"});
    limit("cpu", {"cpu.max", "cpu.cfs_quota_us"}, {"30000 100000", "30000"});
    // Before it is limited, newer kernels do not count with v1 what goes to a disk.
    const std::string much = disk_.numbers() + " 1000000000";
    limit("io", {"io.max", "blkio.throttle.read_bps_device"}, {disk_.numbers() + " rbps=1000000000", much});
    limit("io", {"io.max", "blkio.throttle.write_bps_device"}, {disk_.numbers() + " wbps=1000000000", much});
    const std::string work = "read -r go; dd if=/dev/zero of=" + disk_.device() +
                             " bs=1M count=4 oflag=direct 2>/dev/null; dd if=" + disk_.device() +
                             " of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null; " +
                             "head -c 200000000 /dev/zero | tail -n 1 >/dev/null; echo ready; while :; do :; done";
    child_ = std::make_unique<Child>("/bin/bash", std::vector<std::string>{"bash", "-c", work});
    for (const auto& [controller, cgroup] : cgroups_) cgroup->add(child_->pid());
    child_->write_line("go");
    if (child_->read_line() != "ready") throw std::runtime_error("the group does not work");
  }
  /// As targets and services name it: where it is in the v2 tree.
  [[nodiscard]] const TestCgroup& cgroup() const { return cgroups_.rbegin()->second->cgroup(); }
  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  /// Nothing if this host does not count that.
  [[nodiscard]] std::optional<std::string> path_of(const std::string& controller, const GroupFile& file) const {
    const std::filesystem::path path =
        in_v2(controller) ? cgroup().directory() / file.v2 : cgroups_.at(controller)->directory() / file.v1;
    return std::filesystem::exists(path) ? std::optional(path.string()) : std::nullopt;
  }

 private:
  [[nodiscard]] bool in_v2(const std::string& controller) const {
    return controller.empty() || cgroups_.at(controller)->v2();
  }
  void limit(const std::string& controller, const GroupFile& file, const GroupFile& value) const {
    write_to(path_of(controller, file).value(), in_v2(controller) ? value.v2 : value.v1);
  }

  LoopDisk disk_{64 << 20};
  std::map<std::string, std::unique_ptr<LimitedCgroup>> cgroups_;
  std::unique_ptr<Child> child_;  ///< last: ends first
};

std::vector<std::string> words_of_file(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> words;
  for (std::string word; file >> word;) words.push_back(word);
  return words;
}

/// The number behind a word.
OutsideReader behind(const std::string& path, const std::string& key, double factor) {
  return {[=](const Labels&) -> std::optional<double> {
    const auto words = words_of_file(path);
    const auto found = std::ranges::find(words, key);
    if (found == words.end() || found + 1 == words.end()) return std::nullopt;
    return std::stod(*(found + 1)) * factor;
  }};
}

/// The sum of all numbers behind `key`: "rbytes=N" of v2, "Read N" of v1.
OutsideReader sum_behind(const std::string& path, const std::string& v2_key, const std::string& v1_key) {
  return {[=](const Labels&) -> std::optional<double> {
    double sum = 0;
    const auto words = words_of_file(path);
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i].starts_with(v2_key)) sum += std::stod(words[i].substr(v2_key.size()));
      if (words[i] == v1_key && i + 1 < words.size()) sum += std::stod(words[i + 1]);
    }
    return sum;
  }};
}

OutsideReader first_word(const std::string& path) {
  return {[=](const Labels&) -> std::optional<double> {
    const auto words = words_of_file(path);
    return words.empty() ? std::nullopt : std::optional(std::stod(words.front()));
  }};
}

/// By metric, without "chaosd_service_" or "chaosd_target_".
std::map<std::string, OutsideReader> group_readers(const BusyGroup& group) {
  constexpr double kMicro = 1e-6;
  constexpr double kNano = 1e-9;
  std::map<std::string, OutsideReader> all;
  const auto add = [&](const std::string& metric, const std::string& controller, const GroupFile& file,
                       const std::function<OutsideReader(const std::string& path)>& reader) {
    if (const auto path = group.path_of(controller, file)) all[metric] = reader(*path);
  };
  const std::string procs = (group.cgroup().directory() / "cgroup.procs").string();
  all["up"] = {[](const Labels&) { return 1; }};
  all["processes"] = {[procs](const Labels&) { return static_cast<double>(words_of_file(procs).size()); }};
  const std::string proc = "/proc/" + std::to_string(group.pid()) + "/";
  // Not in ticks, as chaosd has it: within one each of user and system time.
  all["process_cpu_seconds"] = first_word(proc + "schedstat");
  all["process_cpu_seconds"].read = [read = all["process_cpu_seconds"].read](const Labels& labels) {
    const auto ns = read(labels);
    return ns ? std::optional(*ns * kNano) : std::nullopt;
  };
  all["process_cpu_seconds"].slack = 0.021;
  all["process_resident_bytes"] = behind(proc + "status", "VmRSS:", 1024);
  all["process_resident_bytes"].slack = 1 << 20;
  // As the kernel counts it by CPU.
  add("cpu_seconds_total", "", {"cpu.stat"}, [](const auto& path) { return behind(path, "usage_usec", kMicro); });
  add("cpu_throttled_seconds_total", "cpu", {"cpu.stat", "cpu.stat"}, [&](const auto& path) {
    const auto v1 = behind(path, "throttled_time", kNano);
    return v1.read({}) ? v1 : behind(path, "throttled_usec", kMicro);
  });
  add("memory_bytes", "memory", {"memory.current", "memory.usage_in_bytes"}, first_word);
  add("oom_kills_total", "memory", {"memory.events", "memory.oom_control"},
      [](const auto& path) { return behind(path, "oom_kill", 1); });
  add("tasks", "pids", {"pids.current", "pids.current"}, first_word);
  const GroupFile io{"io.stat", "blkio.throttle.io_service_bytes"};
  add("io_read_bytes_total", "io", io, [](const auto& path) { return sum_behind(path, "rbytes=", "Read"); });
  add("io_written_bytes_total", "io", io, [](const auto& path) { return sum_behind(path, "wbytes=", "Write"); });
  const std::string directory = group.cgroup().directory().string();
  if (std::filesystem::exists(directory + "/cpu.pressure")) {
    all["pressure_waiting_seconds_total"] = {[=](const Labels& labels) -> std::optional<double> {
      for (const std::string& word : words_of_file(directory + "/" + labels.at("resource") + ".pressure")) {
        // Of the first line, which is "some".
        if (word.starts_with("total=")) return std::stod(word.substr(6)) * kMicro;
      }
      return std::nullopt;
    }};
  }
  return all;
}

/// Those of the group that `all` shows, by their names without the beginning.
std::map<std::string, std::vector<json>> shown_of(const json& all, const std::string& beginning) {
  std::map<std::string, std::vector<json>> found;
  for (const json& series : all) {
    const std::string name = series.at("name");
    if (name.starts_with(beginning)) found[name.substr(beginning.size())].push_back(series);
  }
  return found;
}

TEST(Telemetry, EverySeriesOfAServiceAndATargetAgreesWithAnOutsideReader) {
  CHAOS_NEEDS_ROOT();
  const BusyGroup group;
  Daemon::Setup setup;
  setup.config = std::string(kFast) +
                 "monitoring: {metrics_interval: 100ms}\nservices:\n  busy: {cgroup: " + group.cgroup().path() + "}\n";
  const Daemon daemon(setup);
  (void)daemon.run_scenario({{"kind", "packet_loss"},
                             {"target", {{"cgroup", group.cgroup().path()}, {"direction", "egress"}}},
                             {"parameters", {{"probability", "1%"}}},
                             {"duration", "5m"}});
  const auto readers = group_readers(group);
  for (const std::string beginning : {"chaosd_service_", "chaosd_target_"}) {
    std::map<std::string, std::vector<json>> shown;
    EXPECT_TRUE(eventually([&] {
      shown = shown_of(metrics_after(daemon, system_clock().wall(), beginning), beginning);
      return std::ranges::all_of(readers, [&](const auto& one) { return shown.contains(one.first); });
    }));
    for (const auto& [name, reader] : readers) EXPECT_TRUE(shown.contains(name)) << beginning << name;
    for (const auto& [name, all] : shown) {
      const auto reader = readers.find(name);
      // Its connections have a test of their own.
      if (name.starts_with("tcp_")) continue;
      ASSERT_NE(reader, readers.end()) << beginning << name << " has no outside reader";
      for (const json& series : all) {
        std::string wrong;
        const int tries = series.at("type") == "counter" ? 1 : 50;
        for (int i = 0; i < tries; ++i) {
          wrong = mismatch(daemon, series, reader->second);
          if (wrong.empty()) break;
        }
        EXPECT_EQ(wrong, "") << beginning << name << " " << series.at("labels");
      }
    }
    const auto value = [&](const std::string& name) { return shown.at(name).at(0).at("value").get<double>(); };
    for (const char* name : {"cpu_throttled_seconds_total", "memory_bytes", "oom_kills_total", "io_read_bytes_total",
                             "io_written_bytes_total"}) {
      if (readers.contains(name)) {
        EXPECT_GT(value(name), 0) << beginning << name;
      }
    }
  }
}

}  // namespace
}  // namespace chaos::test
