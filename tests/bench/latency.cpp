// bench_latency: how soon a running chaosd acts and stops acting, seen from a packet stream through the link.
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/harness.h"
#include "bench/own_engine.h"
#include "bench/stream.h"
#include "bench/witness.h"
#include "kernel/bpf_compat.h"
#include "support/daemon.h"

namespace chaos::bench {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kQuiet{20};  ///< the stream runs this long before and after each request
constexpr double kStartMadeMs = 60;
constexpr double kStartCarriedMs = 10;
constexpr double kStopMs = 10;

constexpr const char* kNothingLost = "100 % loss took no packet: the request outlasted the stream";

struct Series {
  std::string name;
  double limit_ms = 0;  ///< of p99; 0: for information
  std::vector<double> values_ms{};
  std::vector<double> undisturbed_ms{};  ///< of rounds in which the machine was not held meanwhile
};

struct HeldShare {
  double held_ms = 0;
  double of_ms = 0;
  [[nodiscard]] double percent() const { return of_ms > 0 ? 100 * held_ms / of_ms : 0; }
};

double to_ms(std::chrono::nanoseconds value) { return std::chrono::duration<double, std::milli>(value).count(); }

class Bench {
 public:
  explicit Bench(const Options& options, unsigned faults) : options_(options), faults_(faults) {}

  Report run() {
    start_and_stop(made_, stop_made_);
    // Another scenario on the same device keeps the links there; its port is not the stream's.
    const json holder = daemon_.run_scenario(request(kStreamPort + 10));
    start_and_stop(carried_, stop_carried_);
    (void)daemon_.stop_scenario(holder.at("id"));
    emergency_stops();
    progress("");
    return report();
  }

 private:
  [[nodiscard]] json request(unsigned port) const {
    return {{"kind", "packet_loss"},
            {"target",
             {{"interface", "l0"}, {"netns", pair_.left.name()}, {"protocol", "udp"}, {"port", std::to_string(port)}}},
            {"parameters", {{"probability", "100%"}}},
            {"duration", "60s"}};
  }

  void start_and_stop(Series& start, Series& stop) {
    for (unsigned i = 0; i < options_.rounds; ++i) {
      check_interrupted();
      progress(fmt::format("{}: {} of {}", start.name, i + 1, options_.rounds));
      control_.values_ms.push_back(bare_links_ms());
      Witness witness;
      Stream stream(pair_);
      const TimePoint began = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kQuiet);
      const TimePoint asked = std::chrono::steady_clock::now();
      const json started = daemon_.run_scenario(request(kStreamPort));
      const TimePoint answered = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kQuiet);
      const TimePoint stop_asked = std::chrono::steady_clock::now();
      const json stopped = daemon_.stop_scenario(started.at("id"));
      const TimePoint stop_answered = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kQuiet);
      const StreamRecord record = stream.finish();
      note_gaps(record, asked, answered);
      note_gaps(record, stop_asked, stop_answered);
      const std::vector<Witness::Interval> held = witness.finish();
      note(start, held, asked, first_loss(record));
      note(stop, held, stop_asked, last_loss(record));
      note_held(held, began, asked, true);
      answers_.values_ms.push_back(to_ms(answered - asked));
      reconcile(record, stopped.at("counters"), asked);
    }
  }

  void emergency_stops() {
    for (unsigned i = 0; i < options_.rounds; ++i) {
      check_interrupted();
      progress(fmt::format("{}: {} of {}", emergency_.name, i + 1, options_.rounds));
      for (unsigned fault = 0; fault < faults_; ++fault) (void)daemon_.run_scenario(request(kStreamPort));
      Witness witness;
      Stream stream(pair_);
      const TimePoint began = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kQuiet);
      const TimePoint asked = std::chrono::steady_clock::now();
      const test::Response response = daemon_.post("/api/chaos/emergency-stop");
      const TimePoint answered = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(kQuiet);
      const StreamRecord record = stream.finish();
      if (response.status != 200) throw std::runtime_error("emergency stop: " + response.text);
      note_gaps(record, asked, answered);
      const std::vector<Witness::Interval> held = witness.finish();
      note(emergency_, held, asked, last_loss(record));
      note_held(held, began, asked, true);
      rearm();
    }
  }

  /// Nothing may start before, everything may after.
  void rearm() {
    const test::Response refused = daemon_.post("/api/chaos/scenarios", request(kStreamPort));
    if (refused.status != 409) throw std::runtime_error("started after an emergency stop: " + refused.text);
    test::Response response;
    const bool done = test::eventually(
        [&] {
          response = daemon_.post("/api/chaos/rearm");
          return response.status == 200;
        },
        std::chrono::seconds(60));
    if (!done) throw std::runtime_error("rearm: " + response.text);
  }

  /// Two links of a program that does nothing, made and closed on another device: what the kernel takes for it at the
  /// time, chaosd apart.
  [[nodiscard]] double bare_links_ms() const {
    double taken = 0;
    pair_.right.run([&] {
      const unsigned loopback = 1;
      const TimePoint start = std::chrono::steady_clock::now();
      const UniqueFd egress = value_of(tcx_link_create(empty_.get(), loopback, true));
      const UniqueFd ingress = value_of(tcx_link_create(empty_.get(), loopback, false));
      taken = to_ms(std::chrono::steady_clock::now() - start);
    });
    return taken;
  }

  static TimePoint first_loss(const StreamRecord& record) {
    const auto time = record.first_missing();
    if (!time) throw std::runtime_error(kNothingLost);
    return *time;
  }
  static TimePoint last_loss(const StreamRecord& record) {
    const auto time = record.last_missing();
    if (!time) throw std::runtime_error(kNothingLost);
    return *time;
  }

  /// The stream must be able to see what it is asked about, and miss exactly what chaosd says it took.
  void reconcile(const StreamRecord& record, const json& counters, TimePoint asked) {
    if (first_loss(record) < asked) throw std::runtime_error("a packet was lost before anything was asked for");
    const auto injected = counters.at("injected").get<std::uint64_t>();
    if (injected != record.missing()) {
      throw std::runtime_error(fmt::format("chaosd took {} packets, {} are missing", injected, record.missing()));
    }
  }

  void note(Series& series, const std::vector<Witness::Interval>& held, TimePoint asked, TimePoint seen) {
    series.values_ms.push_back(to_ms(seen - asked));
    if (held_time(held, asked, seen) == std::chrono::nanoseconds{0})
      series.undisturbed_ms.push_back(to_ms(seen - asked));
    note_held(held, asked, seen, false);
  }

  /// Whether the machine was held as often when nothing was asked of chaosd.
  void note_held(const std::vector<Witness::Interval>& held, TimePoint from, TimePoint to, bool idle) {
    HeldShare& share = idle ? held_idle_ : held_busy_;
    if (to <= from) return;
    share.held_ms += to_ms(held_time(held, from, to));
    share.of_ms += to_ms(to - from);
  }

  void note_gaps(const StreamRecord& record, TimePoint from, TimePoint to) {
    gaps_.values_ms.push_back(to_ms(record.longest_gap(from, to)));
  }

  Report report() {
    Report report;
    report.title = "bench_latency: from a request to its effect on a packet stream";
    report.setup = host_facts();
    report.setup["rounds"] = options_.rounds;
    report.setup["interval_us"] = kStreamInterval.count();
    report.setup["faults_at_emergency_stop"] = faults_;
    Table table("latency", "Milliseconds",
                {{"what", "what"},
                 {"p50_ms", "p50", 2},
                 {"p99_ms", "p99", 2},
                 {"max_ms", "max", 2},
                 {"undisturbed", "undisturbed"},
                 {"undisturbed_p99_ms", "their p99", 2},
                 {"limit_ms", "p99 limit"}});
    for (const Series* series :
         {&made_, &carried_, &stop_made_, &stop_carried_, &emergency_, &answers_, &control_, &gaps_}) {
      const Summary s = summarize(series->values_ms);
      if (series->limit_ms == 0) {
        table.add({series->name, s.median, s.p99, s.max, json(), json(), json()});
        continue;
      }
      const Summary undisturbed = summarize(series->undisturbed_ms);
      table.add(
          {series->name, s.median, s.p99, s.max, series->undisturbed_ms.size(), undisturbed.p99, series->limit_ms});
      report.targets.push_back({series->name + ", p99", s.p99, 0, series->limit_ms, "ms"});
      report.targets.push_back({series->name + ", p99 of undisturbed", undisturbed.p99, 0, series->limit_ms, "ms"});
    }
    report.tables.push_back(std::move(table));
    report.notes.push_back(fmt::format(
        "A round is undisturbed when no CPU failed to run a real-time thread for {} ms or more between request and "
        "effect. Held so: {:.1f} % of the time of requests, {:.1f} % of the time just before them.",
        Witness::kHeld.count(), held_busy_.percent(), held_idle_.percent()));
    report.notes.push_back("Every start was checked: the packets missing are as many as chaosd counted.");
    report.notes.push_back("A time is no finer than the stream: see its longest gap around each request.");
    return report;
  }

  const Options& options_;
  const unsigned faults_;
  test::VethPair pair_{"latency"};
  test::Daemon daemon_;
  UniqueFd empty_ = load_empty_program();
  Series made_{"start to first loss, links made", kStartMadeMs};
  Series carried_{"start to first loss, links there", kStartCarriedMs};
  Series stop_made_{"stop to last loss, links removed", kStopMs};
  Series stop_carried_{"stop to last loss, links stay", kStopMs};
  Series emergency_{"emergency stop to last loss", kStopMs};
  Series answers_{"start to its answer"};
  Series control_{"control: two bare links made"};
  Series gaps_{"stream's longest gap around a request"};
  HeldShare held_busy_;
  HeldShare held_idle_;
};

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  using namespace chaos::bench;
  unsigned faults = 64;
  return run_benchmark(
      argc, argv, "Latency of start, stop and emergency stop of a running chaosd.", {.rounds = 200},
      [&](CLI::App& app) {
        app.add_option("--faults", faults, "active faults at each emergency stop")
            ->capture_default_str()
            ->check(CLI::Range(1, 64));
      },
      [&](const Options& options) { return Bench(options, faults).run(); });
}
