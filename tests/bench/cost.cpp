// bench_cost: what one packet costs in the classifier, over an empty program, by BPF_PROG_TEST_RUN.
#include <cstdint>
#include <string>
#include <vector>

#include "bench/cost_bed.h"
#include "bench/harness.h"

namespace chaos::bench {
namespace {

constexpr double kNoMatchNs = 80;
constexpr double kNotSampledNs = 200;
constexpr double kNotSampledNumberedNs = 350;
constexpr std::uint64_t kNever = 0;
constexpr std::uint64_t kAlways = 1ULL << 32;
/// One in 2^32: numbered and hashed like any other, and as good as never taken.
constexpr std::uint64_t kAlmostNever = 1;
constexpr std::uint16_t kPort = 9;        ///< of most frames
constexpr std::uint16_t kOtherPort = 7;   ///< of no frame
constexpr std::uint16_t kCrowdPort = 11;  ///< of the frames that meet all 64 faults
constexpr std::uint16_t kCrowdMiss = 13;

ClassifierRule port_rule(std::uint16_t port) {
  ClassifierRule rule;
  rule.remote_ports = {port};
  return rule;
}

/// 10.99.0.0/16 or fd99::/16: no frame goes there.
ClassifierRule peer_rule(bool ipv6) {
  chaos_prefix_key key{};
  if (ipv6) {
    key.prefix_bits = 8 + 16;
    key.family = 6;
    key.address[0] = 0xfd;
    key.address[1] = 0x99;
  } else {
    key.prefix_bits = 8 + 96 + 16;
    key.family = 4;
    key.address[10] = key.address[11] = 0xff;
    key.address[12] = 10;
    key.address[13] = 99;
  }
  ClassifierRule rule;
  rule.peers = {key};
  return rule;
}

std::vector<CostCase> family_cases(bool ipv6) {
  const std::string key = ipv6 ? "ipv6_" : "ipv4_";
  const std::string name = ipv6 ? "IPv6: " : "IPv4: ";
  const FrameSpec udp{.ipv6 = ipv6, .destination_port = kPort};
  const FrameSpec ssh{.ipv6 = ipv6, .tcp = true, .destination_port = 22};
  return {
      {key + "no_match_port", name + "no match (port)", udp, {{port_rule(kOtherPort)}}, Outcome::kNoMatch, kNoMatchNs},
      {key + "no_match_peer", name + "no match (peer prefix)", udp, {{peer_rule(ipv6)}}, Outcome::kNoMatch, kNoMatchNs},
      {key + "not_sampled",
       name + "not sampled, no numbering",
       udp,
       {{port_rule(kPort), kNever}},
       Outcome::kNotSampled,
       kNotSampledNs},
      {key + "not_sampled_numbered",
       name + "not sampled, numbered",
       udp,
       {{port_rule(kPort), kAlmostNever}},
       Outcome::kNotSampled,
       kNotSampledNumberedNs},
      {key + "injected", name + "injected (100 %)", udp, {{port_rule(kPort), kAlways}}, Outcome::kInjected},
      {key + "protected", name + "protected (TCP 22)", ssh, {{port_rule(22), kAlways}}, Outcome::kProtected},
  };
}

std::vector<CostCase> all_cases() {
  std::vector<CostCase> cases{
      {"nothing_on_slot", "armed, no fault on the device", {}, {}, Outcome::kNothingOnSlot, kNoMatchNs}};
  for (const bool ipv6 : {false, true}) {
    for (CostCase& one : family_cases(ipv6)) cases.push_back(std::move(one));
  }
  FrameSpec crowd{.destination_port = kCrowdMiss};
  cases.push_back({"faults64_no_match", "64 faults, no match", crowd, {}, Outcome::kNoMatch, kNoMatchNs, true});
  crowd.destination_port = kCrowdPort;
  cases.push_back({"faults64_one_matches",
                   "64 faults, one matches, not sampled",
                   crowd,
                   {{port_rule(kCrowdPort), kNever}},
                   Outcome::kNotSampled,
                   kNotSampledNs,
                   true});
  return cases;
}

struct Samples {
  std::vector<double> empty;
  std::vector<double> control;                  ///< empty minus empty
  std::vector<std::vector<double>> over_empty;  ///< by case
};

Samples measure(const CostBed& bed, std::size_t cases, unsigned rounds, std::uint32_t repeat, bool direct) {
  Samples samples;
  samples.over_empty.resize(cases);
  for (unsigned round = 0; round < rounds; ++round) {
    for (const std::size_t i : round_order(cases + 1, round)) {
      check_interrupted();
      const double empty = bed.run_empty(0, repeat);
      samples.empty.push_back(empty);
      if (i == cases) {
        samples.control.push_back(bed.run_empty(1, repeat) - empty);
      } else {
        samples.over_empty[i].push_back(bed.run(i, repeat, direct) - empty);
      }
    }
  }
  return samples;
}

Report run(const Options& options, std::uint32_t repeat, bool direct) {
  Report report;
  report.title = "bench_cost: ns a packet over an empty program";
  report.setup = host_facts();
  report.setup["rounds"] = options.rounds;
  report.setup["repeat"] = repeat;
  report.setup["program"] = direct ? "classifier alone" : "entry program and its tail call";
  const std::vector<CostCase> cases = all_cases();
  const CostBed bed(cases);
  const Samples samples = measure(bed, cases.size(), options.rounds, repeat, direct);

  Table table("cost", "Difference to the empty program, run beside each measurement",
              {{"case", "case"}, {"median_ns", "median"}, {"p10_ns", "p10"}, {"p90_ns", "p90"}, {"limit_ns", "limit"}});
  const auto add = [&](const std::string& name, const std::vector<double>& values, double limit) {
    const Summary s = summarize(values);
    table.add({name, s.median, s.p10, s.p90, limit > 0 ? nlohmann::json(limit) : nlohmann::json()});
    if (limit > 0) report.targets.push_back({name, s.median, 0, limit, "ns"});
  };
  add("control: a second empty program", samples.control, 0);
  for (std::size_t i = 0; i < cases.size(); ++i) add(cases[i].name, samples.over_empty[i], cases[i].limit_ns);
  report.setup["empty_ns"] = summarize(samples.empty).median;
  report.tables.push_back(std::move(table));
  report.notes.push_back("Every run was checked: each packet had the outcome that its case names.");
  return report;
}

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  std::uint32_t repeat = 100'000;
  bool direct = false;
  return run_benchmark(
      argc, argv, "Cost of the packet classifier by BPF_PROG_TEST_RUN.", {.rounds = 20},
      [&](CLI::App& app) {
        app.add_option("--repeat", repeat, "packets of one measurement")
            ->capture_default_str()
            ->check(CLI::Range(1, 10'000'000));
        app.add_flag("--direct", direct, "call the classifier itself, without entry program and tail call");
      },
      [&](const Options& options) { return run(options, repeat, direct); });
}
