// bench_rate: packets per second through one veth link while 1 % of them are lost by chaosd, nftables or iptables.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/harness.h"
#include "bench/rate_links.h"

namespace chaos::bench {
namespace {

struct Variant {
  std::string name;
  Means means;
  std::vector<double> wall_rate{};  ///< packets per second, by round
  std::vector<double> cpu_rate{};   ///< packets per second of the sender's CPU time, by round
  double sent = 0;
  double received = 0;
};

using Links = std::vector<std::unique_ptr<RateLink>>;

/// All that this host has; what it lacks is noted.
std::vector<Variant> available_variants(OwnEngine& engine, std::vector<std::string>& notes) {
  std::vector<Variant> variants{{"none", Means::kNone}, {"none again (control)", Means::kNone}};
  const Variant others[] = {{"chaosd packet_loss", Means::kChaosd},
                            {"nftables netdev egress", Means::kNftEgress},
                            {"nftables inet output", Means::kNftOutput},
                            {"iptables OUTPUT", Means::kIptables},
                            {"iptables-legacy OUTPUT", Means::kIptablesLegacy}};
  for (const Variant& variant : others) {
    check_interrupted();
    try {
      const RateLink trial(variant.means, &engine);
      variants.push_back(variant);
    } catch (const std::runtime_error& error) {
      if (variant.means == Means::kChaosd) throw;
      notes.push_back(fmt::format("{} is not available here: {}", variant.name, error.what()));
    }
  }
  return variants;
}

/// New ones for each round: where their objects happen to lie in memory is worth several per cent.
Links make_links(const std::vector<Variant>& variants, unsigned round, OwnEngine& engine) {
  Links links(variants.size());
  for (const std::size_t i : round_order(variants.size(), round)) {
    check_interrupted();
    links[i] = std::make_unique<RateLink>(variants[i].means, &engine);
  }
  return links;
}

/// Every link sends for `seconds`, in slices that take turns: the load of the machine's other CPUs, which share caches
/// and cores with this one, changes faster than a round goes by.
std::vector<Burst> send_round(const Links& links, unsigned round, double seconds) {
  constexpr double kSlice = 0.01;
  const auto slices = static_cast<unsigned>(std::ceil(seconds / kSlice));
  std::vector<Burst> sums(links.size());
  std::thread([&] {
    be_punctual();
    for (unsigned slice = 0; slice < slices; ++slice) {
      for (const std::size_t i : round_order(links.size(), round * slices + slice)) {
        const Burst burst = links[i]->send_for(kSlice);
        sums[i].sent += burst.sent;
        sums[i].wall_seconds += burst.wall_seconds;
        sums[i].cpu_seconds += burst.cpu_seconds;
      }
    }
  }).join();
  return sums;
}

void measure(std::vector<Variant>& variants, OwnEngine& engine, const Options& options) {
  for (unsigned round = 0; round < options.rounds; ++round) {
    progress(fmt::format("round {} of {}", round + 1, options.rounds));
    const Links links = make_links(variants, round, engine);
    std::vector<std::uint64_t> before;
    for (const auto& link : links) before.push_back(link->received());
    const std::vector<Burst> bursts = send_round(links, round, options.seconds);
    for (std::size_t i = 0; i < variants.size(); ++i) {
      const auto sent = static_cast<double>(bursts[i].sent);
      variants[i].wall_rate.push_back(sent / bursts[i].wall_seconds);
      variants[i].cpu_rate.push_back(sent / bursts[i].cpu_seconds);
      variants[i].sent += sent;
      variants[i].received += static_cast<double>(links[i]->received() - before[i]);
    }
  }
  progress("");
}

/// By round, so that what slows the machine down for a while slows both.
Summary paired_ratio(const std::vector<double>& values, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
  return summarize(std::move(ratios));
}

using Rates = std::vector<double> Variant::*;

Table make_table(const std::string& key, const std::string& title, const std::vector<Variant>& variants, Rates rates) {
  Table table(key, title,
              {{"means", "means"},
               {"packets_per_second", "packets/s"},
               {"ns_per_packet", "ns/packet"},
               {"ratio", "ratio to none", 4},
               {"ratio_p10", "p10", 4},
               {"ratio_p90", "p90", 4},
               {"lost_percent", "lost %", 3}});
  for (const Variant& variant : variants) {
    const double rate = summarize(variant.*rates).median;
    const Summary ratio = paired_ratio(variant.*rates, variants.front().*rates);
    // The far end also counts a few neighbour packets.
    const double lost = std::max(0.0, 1 - variant.received / variant.sent);
    table.add({variant.name, rate, 1e9 / rate, ratio.median, ratio.p10, ratio.p90, 100 * lost});
  }
  return table;
}

/// chaosd against the fastest other means.
void add_target(Report& report, const std::vector<Variant>& variants, Rates rates, const std::string& unit) {
  const Variant* ours = nullptr;
  const Variant* best = nullptr;
  const auto ratio_to_none = [&](const Variant& variant) {
    return paired_ratio(variant.*rates, variants.front().*rates).median;
  };
  for (const Variant& variant : variants) {
    if (variant.means == Means::kNone) continue;
    if (variant.means == Means::kChaosd) {
      ours = &variant;
    } else if (best == nullptr || ratio_to_none(variant) > ratio_to_none(*best)) {
      best = &variant;
    }
  }
  if (ours == nullptr || best == nullptr) return;
  report.targets.push_back({fmt::format("chaosd / {}, packets per {}", best->name, unit),
                            paired_ratio(ours->*rates, best->*rates).median, 1.0,
                            std::numeric_limits<double>::infinity(), "x"});
}

Report run(const Options& options) {
  Report report;
  report.title = "bench_rate: small UDP packets over veth, 1 % lost at the sender";
  report.setup = host_facts();
  report.setup["rounds"] = options.rounds;
  report.setup["seconds"] = options.seconds;
  OwnEngine engine;
  std::vector<Variant> variants = available_variants(engine, report.notes);
  measure(variants, engine, options);
  report.tables.push_back(make_table("wall", "By wall clock", variants, &Variant::wall_rate));
  report.tables.push_back(
      make_table("cpu", "By CPU time of the sender (others' turns do not count)", variants, &Variant::cpu_rate));
  add_target(report, variants, &Variant::wall_rate, "second");
  add_target(report, variants, &Variant::cpu_rate, "CPU second");
  report.notes.push_back("Ratios are medians over rounds; the control's distance from 1 is the noise.");
  return report;
}

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  return run_benchmark(
      argc, argv, "Packet rate under 1 % loss: chaosd against nftables and iptables.", {.rounds = 20, .seconds = 0.3},
      [](CLI::App&) {}, [](const Options& options) { return run(options); });
}
