#include "own_metrics.h"

#include <array>

#include "base/contains.h"
#include "version.h"

namespace chaos {
namespace {

using std::string_view;

// A scrape interval of a minute sees each of them; 64 ended scenarios of 11 series each are 704 series.
constexpr std::size_t kEndedKept = 64;
constexpr std::chrono::minutes kEndedSeen{15};

constexpr MetricSpec counter(string_view name, string_view help, std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kCounter, "", 1, help, labels};
}
constexpr MetricSpec gauge(string_view name, string_view help, std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kGauge, "", 1, help, labels};
}

constexpr MetricSpec kBuild = gauge("chaosd_build_info", "Always 1; the version is a label.", {"version"});
constexpr MetricSpec kArmed = gauge("chaosd_armed", "1: faults may act.");
constexpr MetricSpec kLatched = gauge("chaosd_latched", "1: an emergency stop holds until somebody re-arms.");
constexpr MetricSpec kRunning = gauge("chaosd_scenarios_running", "Scenarios that act or are being taken down.");
constexpr MetricSpec kWaiting = gauge("chaosd_scenarios_waiting", "Scenarios that wait for their turn.");
constexpr MetricSpec kSubscribers = gauge("chaosd_event_subscribers", "Clients that follow the events.");
constexpr MetricSpec kLease{"chaosd_lease_margin_seconds",
                            MetricType::kGauge,
                            "seconds",
                            1'000'000,
                            "How long faults would still act if the lease were not renewed.",
                            {}};
constexpr MetricSpec kStarted =
    counter("chaosd_scenarios_started_total", "Scenarios that began to act, by kind.", {"kind"});
constexpr MetricSpec kEnded =
    counter("chaosd_scenarios_ended_total", "Scenarios that ended, by kind and reason.", {"kind", "reason"});
constexpr MetricSpec kInjectedByKind =
    counter("chaosd_injected_total", "Events that chaosd's faults injected, by kind, since its start.", {"kind"});
constexpr MetricSpec kActive =
    gauge("chaosd_scenario_active", "1: the scenario acts; 0: it waits, is being taken down, or ended lately.",
          {"id", "kind"});

struct CounterColumn {
  std::uint64_t Counters::*field;
  MetricSpec metric;
};
constexpr std::array kCounters{
    CounterColumn{&Counters::evaluated,
                  counter("chaosd_fault_evaluated_total", "Events that the fault looked at.", {"id", "kind"})},
    CounterColumn{&Counters::matched,
                  counter("chaosd_fault_matched_total", "Events that were the target's.", {"id", "kind"})},
    CounterColumn{&Counters::injected,
                  counter("chaosd_fault_injected_total", "Events that the fault acted on.", {"id", "kind"})},
    CounterColumn{&Counters::not_sampled, counter("chaosd_fault_not_sampled_total",
                                                  "Events that matched and were not chosen.", {"id", "kind"})},
    CounterColumn{&Counters::spared_protected, counter("chaosd_fault_spared_protected_total",
                                                       "Events spared because they are protected.", {"id", "kind"})},
    CounterColumn{&Counters::spared_budget, counter("chaosd_fault_spared_budget_total",
                                                    "Events spared because max_events was reached.", {"id", "kind"})},
    CounterColumn{&Counters::spared_expired,
                  counter("chaosd_fault_spared_expired_total", "Events spared because lease or duration had run out.",
                          {"id", "kind"})},
    CounterColumn{&Counters::over_limit,
                  counter("chaosd_fault_over_limit_total", "Events that the fault could not take.", {"id", "kind"})},
    CounterColumn{&Counters::shadowed,
                  counter("chaosd_fault_shadowed_total", "Events that a fault in shadow mode would have acted on.",
                          {"id", "kind"})},
};

std::int64_t whole(std::uint64_t value) { return static_cast<std::int64_t>(value); }

void add_scenario(std::vector<OwnValue>& values, const std::string& id, const std::string& kind, bool active,
                  const Counters& counters) {
  values.push_back({&kActive, {id, kind}, active ? 1 : 0});
  for (const CounterColumn& column : kCounters) {
    values.push_back({&column.metric, {id, kind}, whole(counters.*column.field)});
  }
}

}  // namespace

void OwnMetrics::on_change(const Scenario& scenario) {
  const std::string& kind = scenario.request.kind;
  if (scenario.state == State::kActive && acting_.insert(scenario.id).second) ++started_[kind];
  if (!is_final(scenario.state)) return;
  acting_.erase(scenario.id);
  ++ends_[{kind, std::string(to_string(scenario.end_reason))}];
  injected_[kind] += scenario.counters.injected;
  if (!scenario.started_at) return;
  ended_.push_back({scenario.id, kind, scenario.counters, system_clock().monotonic()});
  if (ended_.size() > kEndedKept) ended_.pop_front();
}

void OwnMetrics::forget_old() {
  const auto now = system_clock().monotonic();
  while (!ended_.empty() && now - ended_.front().at > kEndedSeen) ended_.pop_front();
}

std::vector<OwnValue> OwnMetrics::values(const Now& now, const std::vector<Scenario>& scenarios) {
  forget_old();
  std::vector<OwnValue> values{{&kBuild, {std::string(kVersion)}, 1}, {&kArmed, {}, now.armed ? 1 : 0},
                               {&kLatched, {}, now.latched ? 1 : 0},  {&kRunning, {}, whole(now.running)},
                               {&kWaiting, {}, whole(now.waiting)},   {&kSubscribers, {}, whole(now.subscribers)}};
  values.push_back({&kLease, {}, std::chrono::duration_cast<std::chrono::microseconds>(now.lease_margin).count()});
  std::map<std::string, std::uint64_t> injected = injected_;
  for (const Scenario& scenario : scenarios) {
    const std::string& kind = scenario.request.kind;
    // One that has ended is in ended_ already, should it still be listed.
    if (contains(ended_, scenario.id, &Ended::id)) continue;
    add_scenario(values, scenario.id, kind, scenario.state == State::kActive, scenario.counters);
    injected[kind] += scenario.counters.injected;
  }
  for (const Ended& ended : ended_) add_scenario(values, ended.id, ended.kind, false, ended.counters);
  for (const auto& [kind, count] : injected) values.push_back({&kInjectedByKind, {kind}, whole(count)});
  for (const auto& [kind, count] : started_) values.push_back({&kStarted, {kind}, whole(count)});
  for (const auto& [what, count] : ends_) values.push_back({&kEnded, {what.first, what.second}, whole(count)});
  return values;
}

}  // namespace chaos
