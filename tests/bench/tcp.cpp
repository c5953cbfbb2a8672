// bench_tcp: what 1 % loss does to one TCP flow, lost at the sender's egress against the receiver's ingress.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "bench/delay_link.h"
#include "bench/harness.h"
#include "bench/own_engine.h"
#include "bench/tcp_transfer.h"

namespace chaos::bench {
namespace {

constexpr std::chrono::microseconds kOneWay{5000};
constexpr double kLowRatio = 0.67;
constexpr double kHighRatio = 1.5;

struct Mode {
  Offloads offloads;
  const char* key;
  const char* name;
};
constexpr std::array kModes{
    Mode{Offloads::kSingle, "offloads_off_single", "gso, tso, gro off and gso_max_segs 1"},
    Mode{Offloads::kOff, "offloads_off", "gso, tso, gro off (ethtool)"},
    Mode{Offloads::kOn, "offloads_on", "gso, tso, gro on"},
};

/// Runs of one place of loss.
struct Series {
  std::string name;
  std::vector<double> mbit{};
  double retransmits = 0;
  double segments = 0;
  Counters counters{};
};

/// What an earlier connection learnt about the path must not steer the next.
void forget_metrics(const test::Namespace& ns) {
  ns.run([] {
    const UniqueFd fd(open("/proc/sys/net/ipv4/tcp_no_metrics_save", O_WRONLY | O_CLOEXEC));
    if (!fd.valid() || write(fd.get(), "1", 1) != 1) throw std::runtime_error("set tcp_no_metrics_save");
  });
}

/// Loses data packets only: those to the receiver's port.
TargetKeys loss_at(const DelayLink& link, bool egress) {
  TargetKeys keys{{"protocol", {"tcp"}}};
  keys["interface"] = {egress ? "l0" : "r0"};
  keys["netns"] = {egress ? link.left().name() : link.right().name()};
  keys["direction"] = {egress ? "egress" : "ingress"};
  keys[egress ? "port" : "local-port"] = {std::to_string(kTransferPort)};
  return keys;
}

struct Setting {
  std::string congestion_control = "cubic";
  std::string probability = "1%";
};

class Bench {
 public:
  Bench(const Options& options, const Setting& setting) : options_(options), setting_(setting) {
    report_.title = "bench_tcp: one TCP flow, lossy at the sender's egress or at the receiver's ingress";
    report_.setup = host_facts();
    report_.setup["rounds"] = options.rounds;
    report_.setup["seconds"] = options.seconds;
    report_.setup["probability"] = setting.probability;
    report_.setup["rtt_ms"] = 2 * std::chrono::duration<double, std::milli>(kOneWay).count();
  }

  Report run() {
    for (const Mode& mode : kModes) compare(mode);
    progress("");
    report_.notes.push_back(
        "Loss takes skbs as a whole: where one is many segments, losses come in bursts and rarely,");
    report_.notes.push_back("and TCP is faster than on a network that loses as many segments one by one.");
    return report_;
  }

 private:
  void compare(const Mode& mode) {
    const DelayLink link(kOneWay, mode.offloads);
    forget_metrics(link.left());
    forget_metrics(link.right());
    progress(fmt::format("{}, no loss", mode.name));
    const Transfer clean = transfer(link.left(), link.right(), setting_.congestion_control, options_.seconds / 2);
    report_.setup["congestion_control"] = clean.congestion_control;
    std::array<Series, 2> series{Series{"egress"}, Series{"ingress"}};
    const std::uint64_t overflows = link.overflows();
    for (unsigned round = 0; round < options_.rounds; ++round) {
      progress(fmt::format("{}, pair {} of {}", mode.name, round + 1, options_.rounds));
      for (const std::size_t i : round_order(2, round)) run_once(link, i == 0, series[i]);
    }
    if (link.overflows() != overflows) throw std::runtime_error("the delay link overflowed: the figures are its own");
    add(mode, clean, series);
  }

  void run_once(const DelayLink& link, bool egress, Series& series) {
    check_interrupted();
    const unsigned fault = engine_.lose(loss_at(link, egress), setting_.probability);
    const Transfer one = transfer(link.left(), link.right(), setting_.congestion_control, options_.seconds);
    const Counters counters = engine_.end(fault);
    series.mbit.push_back(one.mbit_per_second);
    series.retransmits += static_cast<double>(one.retransmits);
    series.segments += static_cast<double>(one.segments_sent);
    series.counters.matched += counters.matched;
    series.counters.injected += counters.injected;
    series.counters.matched_segments += counters.matched_segments;
    series.counters.injected_segments += counters.injected_segments;
  }

  void add(const Mode& mode, const Transfer& clean, const std::array<Series, 2>& series) {
    Table table(mode.key,
                fmt::format("{} (without loss: {:.0f} Mbit/s, smallest RTT {:.2f} ms)", mode.name,
                            clean.mbit_per_second, clean.smallest_rtt_ms),
                {{"loss", "loss at"},
                 {"mbit", "Mbit/s", 2},
                 {"mbit_p10", "p10", 2},
                 {"mbit_p90", "p90", 2},
                 {"retransmitted", "retransmitted %", 2},
                 {"lost_skbs", "lost skbs %", 2},
                 {"lost_segments", "lost segments %", 2},
                 {"segments_per_skb", "segments/skb", 2}});
    for (const Series& one : series) {
      const Summary s = summarize(one.mbit);
      const Counters& c = one.counters;
      const auto percent = [](auto part, auto whole) {
        return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
      };
      table.add({one.name, s.median, s.p10, s.p90, percent(one.retransmits, one.segments),
                 percent(c.injected, c.matched), percent(c.injected_segments, c.matched_segments),
                 static_cast<double>(c.matched_segments) / static_cast<double>(c.matched)});
    }
    std::vector<double> ratios;
    for (std::size_t i = 0; i < series[0].mbit.size(); ++i) ratios.push_back(series[0].mbit[i] / series[1].mbit[i]);
    const Summary ratio = summarize(ratios);
    table.add({"egress / ingress", ratio.median, ratio.p10, ratio.p90, nullptr, nullptr, nullptr, nullptr});
    report_.tables.push_back(std::move(table));
    if (mode.offloads == Offloads::kSingle) {
      report_.targets.push_back({"egress / ingress, one segment per skb", ratio.median, kLowRatio, kHighRatio, "x"});
    }
  }

  const Options& options_;
  const Setting& setting_;
  OwnEngine engine_;
  Report report_;
};

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  Setting setting;
  return run_benchmark(
      argc, argv, "Throughput of one TCP flow under loss: egress against ingress.", {.rounds = 10, .seconds = 10},
      [&](CLI::App& app) {
        app.add_option("--congestion-control", setting.congestion_control, "TCP_CONGESTION of both ends")
            ->capture_default_str();
        app.add_option("--probability", setting.probability, "of the loss")->capture_default_str();
      },
      [&](const Options& options) { return Bench(options, setting).run(); });
}
