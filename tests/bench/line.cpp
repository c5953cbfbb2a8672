// bench_line: what the delay line of a real chaosd does to time and throughput: how late packets come beside a bare
// timer, what one TCP flow and a stream of small packets keep, and what traffic beside them that does not match loses.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bench/harness.h"
#include "bench/line_probes.h"
#include "bench/tcp_transfer.h"
#include "support/child.h"
#include "support/daemon.h"
#include "support/net.h"
#include "support/observe.h"
#include "support/requests.h"

namespace chaos::bench {
namespace {

using nlohmann::json;
using std::chrono::microseconds;
using test::Daemon;
using test::VethPair;

constexpr microseconds kDelays[]{microseconds(200), microseconds(1000), microseconds(10'000), microseconds(100'000)};
const std::vector<std::string> kParts{"lateness", "tcp", "small", "bystander"};
constexpr double kLateP50 = 60;
constexpr double kLateP99 = 300;

json latency(const VethPair& net, microseconds delay, std::uint16_t port) {
  return {{"kind", "latency_injection"},
          {"target",
           {{"netns", net.left.name()}, {"interface", "l0"}, {"direction", "egress"}, {"port", std::to_string(port)}}},
          {"parameters", {{"delay", std::to_string(delay.count()) + "us"}}},
          {"duration", "10m"}};
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    report_.title = "bench_line: the delay line of a real chaosd";
    report_.setup = host_facts();
    report_.setup["rounds"] = options.rounds;
    report_.setup["seconds"] = options.seconds;
    // Those that transfer() talks to.
    (void)test::shell("ip -n " + net_.left.name() + " address add 10.78.0.1/24 dev l0");
    (void)test::shell("ip -n " + net_.right.name() + " address add 10.78.0.2/24 dev r0");
    for (const auto* ns : {&net_.left, &net_.right}) {
      (void)test::shell("ip netns exec " + ns->name() +
                        " sysctl -q -w net.ipv4.tcp_no_metrics_save=1 net.ipv4.tcp_rmem='4096 131072 67108864' "
                        "net.ipv4.tcp_wmem='4096 131072 67108864'");
    }
  }

  Report run(const std::vector<std::string>& parts) {
    const std::map<std::string_view, std::function<void()>> all{{"lateness",
                                                                 [this] {
                                                                   lateness(false);
                                                                   lateness(true);
                                                                 }},
                                                                {"tcp", [this] { tcp(); }},
                                                                {"small", [this] { small_packets(); }},
                                                                {"bystander", [this] { bystander(); }}};
    for (const std::string_view part : kParts) {
      if (std::ranges::find(parts, part) != parts.end()) all.at(part)();
    }
    progress("");
    return report_;
  }

 private:
  void lateness(bool loaded) {
    Table table(loaded ? "late_loaded" : "late_idle",
                loaded ? "µs later than asked for, beside one busy process for each CPU"
                       : "µs later than asked for, on an idle machine",
                {{"delay", "delay ms", 1},
                 {"timer_p50", "timer p50", 0},
                 {"line_p50", "line p50", 0},
                 {"timer_p99", "timer p99", 0},
                 {"line_p99", "line p99", 0},
                 {"own_p50", "chaosd's own p50", 0}});
    const Hogs hogs(loaded);
    for (const microseconds delay : kDelays) {
      progress(fmt::format("lateness at {} µs", delay.count()));
      const std::string id = test::id_of(daemon_.run_scenario(latency(net_, delay, kProbePort)));
      const Lateness found = probe_lateness(net_, delay, options_.rounds * 40);
      const json ended = daemon_.stop_scenario(id);
      const Summary timer = summarize(found.timer_us);
      const Summary line = summarize(found.line_us);
      // "p50 10.2ms, p99 …": chaosd's own word on it.
      const std::string own = ended.at("achieved").value("delay", "p50 0ms");
      const double own_p50 = std::stod(own.substr(4)) * 1000 - static_cast<double>(delay.count());
      table.add({static_cast<double>(delay.count()) / 1000, timer.median, line.median, timer.p99, line.p99, own_p50});
      const std::string what = fmt::format("{} ms, {}: line over timer", static_cast<double>(delay.count()) / 1000,
                                           loaded ? "loaded" : "idle");
      report_.targets.push_back({what + ", p50", line.median - timer.median, -1e9, kLateP50, "µs"});
      report_.targets.push_back({what + ", p99", line.p99 - timer.p99, -1e9, kLateP99, "µs"});
      const auto all = static_cast<double>(delay.count()) + line.median;
      report_.targets.push_back(
          {what + ", chaosd's own word off by", std::abs(own_p50 - line.median), 0, 0.1 * all + 50, "µs"});
      check_interrupted();
    }
    report_.tables.push_back(std::move(table));
  }

  void tcp() {
    Table table("tcp", "one TCP flow, default offloads",
                {{"delay", "delay ms", 1},
                 {"mbit", "Mbit/s", 0},
                 {"share", "of undisturbed", 2},
                 {"p10", "p10", 2},
                 {"p90", "p90", 2},
                 {"cpu", "chaosd CPU s/GB", 2}});
    for (const microseconds delay : {microseconds(1000), microseconds(5000)}) {
      std::vector<double> shares;
      std::vector<double> rates;
      double cpu_s = 0;
      double gigabytes = 0;
      for (unsigned round = 0; round < options_.rounds; ++round) {
        progress(fmt::format("TCP, {} µs, pair {}", delay.count(), round + 1));
        double plain = 0;
        double delayed = 0;
        for (const std::size_t which : round_order(2, round)) {
          check_interrupted();
          if (which == 0) {
            plain = flow();
            continue;
          }
          const std::string id = test::id_of(daemon_.run_scenario(latency(net_, delay, kTransferPort)));
          const auto before = test::cpu_time(daemon_.pid());
          delayed = flow();
          cpu_s += std::chrono::duration<double>(test::cpu_time(daemon_.pid()) - before).count();
          gigabytes += delayed * options_.seconds / 8000;
          (void)daemon_.stop_scenario(id);
        }
        shares.push_back(delayed / plain);
        rates.push_back(delayed);
      }
      const Summary share = summarize(shares);
      table.add({static_cast<double>(delay.count()) / 1000, summarize(rates).median, share.median, share.p10, share.p90,
                 gigabytes > 0 ? cpu_s / gigabytes : 0});
      report_.targets.push_back(
          {fmt::format("TCP with {} ms", static_cast<double>(delay.count()) / 1000), share.median, 0.6, 10, "x"});
    }
    report_.tables.push_back(std::move(table));
  }
  double flow() {
    const Transfer one = transfer(net_.left, net_.right, "cubic", options_.seconds);
    report_.setup["congestion_control"] = one.congestion_control;
    return one.mbit_per_second;
  }

  void small_packets() {
    Table table("small", "UDP packets of 64 bytes, as fast as the sender can, held for 1 ms",
                {{"sent", "sent/s", 0},
                 {"received", "received/s", 0},
                 {"over_limit", "over limit/s", 0},
                 {"cpu", "chaosd CPU s/million", 2}});
    std::vector<double> sent;
    std::vector<double> received;
    std::vector<double> over;
    double cpu_s = 0;
    double millions = 0;
    for (unsigned round = 0; round < options_.rounds; ++round) {
      progress(fmt::format("small packets, round {}", round + 1));
      check_interrupted();
      const std::string id = test::id_of(daemon_.run_scenario(latency(net_, microseconds(1000), kProbePort)));
      const auto before = test::cpu_time(daemon_.pid());
      const Flood flood = run_flood(net_, kProbePort, options_.seconds);
      cpu_s += std::chrono::duration<double>(test::cpu_time(daemon_.pid()) - before).count();
      const json counters = daemon_.stop_scenario(id).at("counters");
      const auto limit = counters.at("over_limit").get<std::uint64_t>();
      if (flood.sent != flood.received + flood.dropped + limit) {
        report_.notes.push_back(
            fmt::format("not accounted for: {} sent, {} received, {} dropped by the receiver, {} over "
                        "limit",
                        flood.sent, flood.received, flood.dropped, limit));
      }
      sent.push_back(static_cast<double>(flood.sent) / flood.seconds);
      received.push_back(static_cast<double>(flood.received + flood.dropped) / flood.seconds);
      over.push_back(static_cast<double>(limit) / flood.seconds);
      millions += static_cast<double>(flood.received + flood.dropped) / 1e6;
    }
    table.add({summarize(sent).median, summarize(received).median, summarize(over).median,
               millions > 0 ? cpu_s / millions : 0});
    report_.targets.push_back({"small packets delayed", summarize(received).median, 150'000, 1e9, "/s"});
    report_.tables.push_back(std::move(table));
  }

  /// Packets that do not match, with a rule and without. Small datagrams by the sender's CPU time: the turns of others
  /// do not count, and much else takes turns here. A TCP flow by what it passes.
  void bystander() {
    constexpr unsigned kTurns = 8;  // of each measurement: short ones, side by side
    const double seconds = options_.seconds / kTurns;
    Table table("bystander", "traffic beside it that does not match",
                {{"what", "what"}, {"ratio", "of undisturbed", 3}, {"p10", "p10", 3}, {"p90", "p90", 3}});
    const auto compare = [&](const std::string& what, const std::function<double()>& rate) {
      std::vector<double> ratios;
      std::vector<double> controls;
      for (unsigned round = 0; round < options_.rounds * kTurns; ++round) {
        progress(fmt::format("bystander, {}, round {}", what, round + 1));
        check_interrupted();
        std::array<double, 3> rates{};  // without, with, without again
        for (const std::size_t which : round_order(rates.size(), round)) {
          std::string id;
          if (which == 1) id = test::id_of(daemon_.run_scenario(latency(net_, microseconds(1000), kProbePort)));
          rates.at(which) = rate();
          if (which == 1) (void)daemon_.stop_scenario(id);
        }
        ratios.push_back(rates[1] / rates[0]);
        controls.push_back(rates[2] / rates[0]);
      }
      const Summary ratio = summarize(ratios);
      const Summary control = summarize(controls);
      table.add({what, ratio.median, ratio.p10, ratio.p90});
      table.add({"  control: undisturbed again", control.median, control.p10, control.p90});
      report_.targets.push_back({"bystander, " + what, ratio.median, 0.97, 10, "x"});
    };
    compare("UDP, 64 bytes, a second of the sender's CPU", [&] {
      const Flood flood = run_flood(net_, kProbePort + 1, seconds);
      return static_cast<double>(flood.sent) / flood.cpu_seconds;
    });
    compare("one TCP flow", [&] { return transfer(net_.left, net_.right, "cubic", seconds).mbit_per_second; });
    report_.tables.push_back(std::move(table));
  }

  const Options& options_;
  VethPair net_{"benchline"};
  Daemon daemon_;
  Report report_;
};

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  std::vector<std::string> parts = kParts;
  return run_benchmark(
      argc, argv, "The delay line: lateness beside a bare timer, TCP and small packets, traffic beside it.",
      {.rounds = 10, .seconds = 2},
      [&](CLI::App& app) {
        app.add_option("--only", parts, "these parts, by commas")->delimiter(',')->check(CLI::IsMember(kParts));
      },
      [&](const Options& options) { return Bench(options).run(parts); });
}
