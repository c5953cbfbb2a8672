// bench_cost: what one packet costs in the classifier, over an empty program, by BPF_PROG_TEST_RUN.
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
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
constexpr std::uint32_t kFrameTo = 0x0a4d0002;  ///< 10.77.0.2, see frames.cpp
constexpr double kManyPrefixesRatio = 3;
constexpr double kManyFaultsRatio = 1.25;

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

/// `count` single addresses, the last of them the one that the frames go to.
ClassifierRule many_peers(std::size_t count) {
  std::mt19937 random(10'000);
  ClassifierRule rule;
  for (std::size_t i = 0; i < count; ++i) {
    chaos_prefix_key key{};
    key.prefix_bits = CHAOS_PREFIX_HOST;
    key.family = 4;
    key.address[10] = key.address[11] = 0xff;
    const std::uint32_t address = i + 1 == count ? kFrameTo : static_cast<std::uint32_t>(random()) | 0x80000000U;
    for (unsigned byte = 0; byte < 4; ++byte) {
      key.address[12 + byte] = static_cast<std::uint8_t>(address >> (24 - 8 * byte));
    }
    rule.peers.push_back(key);
  }
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

/// In maps of their own: 10,000 prefixes would change what the others cost.
std::vector<CostCase> prefix_cases() {
  const FrameSpec udp{.destination_port = kPort};
  return {{"prefixes_1", "one prefix, hit, not sampled", udp, {{many_peers(1), kNever}}, Outcome::kNotSampled},
          {"prefixes_10000",
           "10,000 prefixes, the last one hit, not sampled",
           udp,
           {{many_peers(10'000), kNever}},
           Outcome::kNotSampled}};
}

/// One case, and where it runs.
struct Place {
  const CostBed* bed;
  std::size_t number;
};

struct Samples {
  std::vector<double> empty;
  std::vector<double> control;                  ///< empty minus empty
  std::vector<std::vector<double>> over_empty;  ///< by case
};

Samples measure(const std::vector<Place>& places, unsigned rounds, std::uint32_t repeat, bool direct) {
  Samples samples;
  const std::size_t cases = places.size();
  const CostBed& first = *places.front().bed;
  samples.over_empty.resize(cases);
  for (unsigned round = 0; round < rounds; ++round) {
    for (const std::size_t i : round_order(cases + 1, round)) {
      check_interrupted();
      const double empty = first.run_empty(0, repeat);
      samples.empty.push_back(empty);
      if (i == cases) {
        samples.control.push_back(first.run_empty(1, repeat) - empty);
      } else {
        samples.over_empty[i].push_back(places[i].bed->run(places[i].number, repeat, direct) - empty);
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
  std::vector<CostCase> cases = all_cases();
  const std::vector<CostCase> by_prefix = prefix_cases();
  const CostBed bed(cases);
  const CostBed prefix_bed(by_prefix);
  std::vector<Place> places;
  for (std::size_t i = 0; i < cases.size(); ++i) places.push_back({&bed, i});
  for (std::size_t i = 0; i < by_prefix.size(); ++i) places.push_back({&prefix_bed, i});
  cases.insert(cases.end(), by_prefix.begin(), by_prefix.end());
  const Samples samples = measure(places, options.rounds, repeat, direct);

  Table table("cost", "Difference to the empty program, run beside each measurement",
              {{"case", "case"}, {"median_ns", "median"}, {"p10_ns", "p10"}, {"p90_ns", "p90"}, {"limit_ns", "limit"}});
  const auto add = [&](const std::string& name, const std::vector<double>& values, double limit) {
    const Summary s = summarize(values);
    table.add({name, s.median, s.p10, s.p90, limit > 0 ? nlohmann::json(limit) : nlohmann::json()});
    if (limit > 0) report.targets.push_back({name, s.median, 0, limit, "ns"});
  };
  add("control: a second empty program", samples.control, 0);
  for (std::size_t i = 0; i < cases.size(); ++i) add(cases[i].name, samples.over_empty[i], cases[i].limit_ns);
  const auto median_of = [&](std::string_view key) {
    const auto found = std::ranges::find(cases, key, &CostCase::key);
    return summarize(samples.over_empty[static_cast<std::size_t>(found - cases.begin())]).median;
  };
  report.targets.push_back({"one of 64 faults matches, by one of one",
                            median_of("faults64_one_matches") / median_of("ipv4_not_sampled"), 0, kManyFaultsRatio,
                            "times"});
  report.targets.push_back({"10,000 prefixes by one", median_of("prefixes_10000") / median_of("prefixes_1"), 0,
                            kManyPrefixesRatio, "times"});
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
