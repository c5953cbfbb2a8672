#include "ctl/top_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "ctl/json_text.h"
#include "ctl/scenario_view.h"
#include "ctl/top_host.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kPastKept = 240;

void remember(std::deque<double>& past, TopNumber value) {
  if (!value) return;
  past.push_back(*value);
  if (past.size() > kPastKept) past.pop_front();
}

TopNumber number_in(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_number() ? TopNumber(value.get<double>()) : std::nullopt;
}

TopNumber in(const std::map<std::string, double>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? TopNumber() : found->second;
}

/// "probability=10%, model=random": first those that `achieved` names as well, and not what every scenario has.
std::string requested_of(const Json& scenario) {
  const Json& effective = member(member(scenario, "plan"), "parameters");
  const Json& parameters = effective.is_object() && !effective.empty() ? effective : member(scenario, "parameters");
  if (!parameters.is_object()) return {};
  const Json& achieved = member(scenario, "achieved");
  std::string first;
  std::string rest;
  for (const auto& [name, value] : parameters.items()) {
    if (name == "seed") continue;
    std::string& text = achieved.is_object() && achieved.contains(name) ? first : rest;
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", name, text_of(value));
  }
  if (first.empty() || rest.empty()) return first + rest;
  return first + ", " + rest;
}

/// The values of `parameters` whose names are in `achieved` as well.
std::string values_of(const Json& parameters, const Json& achieved) {
  std::string text;
  if (!achieved.is_object() || !parameters.is_object()) return text;
  for (const auto& [name, ignored] : achieved.items()) {
    if (parameters.contains(name)) text += (text.empty() ? "" : ", ") + text_of(parameters, name);
  }
  return text;
}

TopFault fault_of(const Json& scenario, TopRates& rates) {
  TopFault fault;
  const Json& counters = member(scenario, "counters");
  const std::string state = text_of(scenario, "state");
  fault.id = text_of(scenario, "id");
  fault.kind = text_of(scenario, "kind");
  fault.target = target_text(member(scenario, "target"));
  fault.state = state;
  if (const std::string place = text_of(scenario, "queue_position"); state == "queued" && !place.empty()) {
    fault.state += " #" + place;
  }
  fault.active = state == "active";
  fault.shadow = text_of(scenario, "mode") == "shadow";
  fault.severity = text_of(scenario, "severity");
  fault.requested = requested_of(scenario);
  const Json& achieved = member(scenario, "achieved");
  const Json& effective = member(member(scenario, "plan"), "parameters");
  fault.achieved = text_of(achieved);
  fault.requested_values = values_of(effective, achieved);
  fault.achieved_values = fault.requested_values.empty() ? "" : values_of(achieved, effective);
  if (fault.achieved_values.empty()) fault.achieved_values = fault.achieved;
  if (fault.requested_values.empty()) fault.requested_values = fault.requested;
  fault.evaluated = number_at(counters, "evaluated");
  fault.matched = number_at(counters, "matched");
  fault.injected = number_at(counters, fault.shadow ? "shadowed" : "injected");
  fault.injected_rate = rates.of(fault.id, static_cast<double>(fault.injected));
  fault.ends_at = parse_rfc3339(text_of(scenario, "ends_at"));
  for (const Json& warning : list_at(scenario, "warnings")) fault.warnings.push_back(text_of(warning));
  fault.record = scenario;
  return fault;
}

TopService service_of(const Json& answer) {
  TopService service;
  const Json& health = member(answer, "health");
  service.name = text_of(answer, "name");
  service.place = text_of(answer, "place");
  service.running = flag_at(answer, "running");
  service.health = text_of(health, "state");
  service.reason = text_of(health, "reason");
  if (service.reason.empty()) service.reason = text_of(answer, "problem");
  service.since = parse_rfc3339(text_of(health, "since"));
  service.processes = list_at(answer, "pids").size();
  service.touched_by = list_at(answer, "touched_by").size();
  return service;
}

std::vector<TopService> services_of(const Json& answer, const TopMetrics& metrics) {
  // Of the service's cgroups where it has some of its own, else of its processes.
  const auto cgroup_cpu = metrics.rates_by("chaosd_service_cpu_seconds_total", "service");
  const auto process_cpu = metrics.rates_by("chaosd_service_process_cpu_seconds", "service");
  const auto cgroup_memory = metrics.values_by("chaosd_service_memory_bytes", "service");
  const auto process_memory = metrics.values_by("chaosd_service_process_resident_bytes", "service");
  std::vector<TopService> services;
  for (const Json& one : list_at(answer, "services")) {
    TopService service = service_of(one);
    const TopNumber cpu = in(cgroup_cpu, service.name);
    const TopNumber memory = in(cgroup_memory, service.name);
    service.cpu = cpu ? cpu : in(process_cpu, service.name);
    service.memory = memory ? memory : in(process_memory, service.name);
    services.push_back(std::move(service));
  }
  return services;
}

void read_drops(const Json& answer, TopRates& rates, TopDrops& drops) {
  drops.state = TopDrops::State::kShown;
  drops.total = number_at(answer, "total");
  drops.injected = number_at(answer, "injected");
  drops.natural = number_at(answer, "natural");
  drops.oom_kills = number_at(answer, "oom_kills");
  drops.seconds = number_in(answer, "seconds").value_or(0);
  // Counts of other programs than the last time have other keys.
  const std::string head = "drops " + text_of(answer, "since") + " ";
  drops.injected_rate = rates.of(head + "injected", static_cast<double>(drops.injected));
  drops.natural_rate = rates.of(head + "natural", static_cast<double>(drops.natural));
  for (const Json& one : list_at(answer, "reasons")) {
    TopDrop drop{text_of(one, "reason"), text_of(one, "origin") == "injected", number_at(one, "count"), {}};
    drop.rate = rates.of(head + text_of(one, "origin") + " " + drop.reason, static_cast<double>(drop.count));
    drops.reasons.push_back(std::move(drop));
  }
  for (const Json& note : list_at(answer, "notes")) drops.notes.push_back(text_of(note));
}

void read_tcp(const Json& answer, TopRates& rates, TopDrops& drops) {
  const Json& again = member(answer, "retransmits");
  const Json& resets = member(answer, "resets");
  const Json& rtt = member(answer, "rtt");
  drops.tcp = true;
  drops.retransmits = number_at(again, "segments");
  drops.syn_retransmits = number_at(again, "syn") + number_at(again, "synack");
  drops.resets_sent = number_at(resets, "sent");
  drops.resets_received = number_at(resets, "received");
  drops.retransmit_rate = rates.of("tcp " + text_of(answer, "since"), static_cast<double>(drops.retransmits));
  drops.rtt_p50_us = number_in(rtt, "p50_us");
  drops.rtt_p99_us = number_in(rtt, "p99_us");
}

/// Why not, in a line.
std::string refusal_of(const Problem& problem) {
  if (problem.exit == Exit::kNotFound) return "this chaosd has no such telemetry";
  const std::string detail = text_of(problem.document, "detail");
  return detail.empty() ? text_of(problem.document, "title") : detail;
}

TopDrops drops_of(const TopSample& sample, TopRates& rates) {
  TopDrops drops;
  if (!sample.drops) return drops;
  if (*sample.drops) {
    rates.look(parse_rfc3339(text_of(**sample.drops, "until")));
    read_drops(**sample.drops, rates, drops);
  } else {
    drops.state = TopDrops::State::kRefused;
    drops.refusal = refusal_of(sample.drops->error());
  }
  if (sample.tcp && *sample.tcp) {
    rates.look(parse_rfc3339(text_of(**sample.tcp, "until")));
    read_tcp(**sample.tcp, rates, drops);
  } else if (sample.tcp) {
    drops.tcp_refusal = refusal_of(sample.tcp->error());
  }
  return drops;
}

void read_health(const Json& health, TopModel& model) {
  model.version = text_of(health, "version");
  model.instance = text_of(health, "instance");
  model.pid = text_of(health, "pid");
  model.status = text_of(health, "status");
  model.armed = flag_at(health, "armed");
  model.latched = flag_at(health, "latched");
  model.latch_reason = text_of(health, "latch_reason");
  model.uptime_seconds = number_at(health, "uptime_seconds");
  model.lease_ms = number_at(health, "lease_margin_ms");
}

}  // namespace

void TopRates::look(std::optional<WallTime> time) {
  time_ = time;
  // What was not there for a while counts anew; that also bounds the map.
  if (!time) return;
  constexpr std::chrono::minutes kForgotten{10};
  std::erase_if(known_, [&](const auto& entry) { return *time - entry.second.at > kForgotten; });
}

TopNumber TopRates::of(const std::string& key, double value) {
  if (!time_) return std::nullopt;
  const auto [place, fresh] = known_.try_emplace(key, Known{*time_, value, std::nullopt});
  Known& known = place->second;
  const std::chrono::duration<double> span = *time_ - known.at;
  if (fresh || span.count() == 0) return known.rate;
  known.rate.reset();
  if (span.count() > 0 && value >= known.value) known.rate = (value - known.value) / span.count();
  known.at = *time_;
  known.value = value;
  return known.rate;
}

const TopModel& TopModeler::take(const TopSample& sample) {
  model_.time = sample.time;
  if (sample.lost) {
    model_.lost = refusal_of(*sample.lost);
    if (!model_.lost_since) model_.lost_since = sample.time;
    return model_;
  }
  model_.lost.clear();
  model_.lost_since.reset();
  model_.problems = sample.problems;
  const std::string pid = model_.pid;
  read_health(sample.health, model_);
  if (model_.pid != pid) drops_ = TopRates();
  model_.host = host_of(TopMetrics(sample.host, host_));
  model_.services = services_of(sample.services, TopMetrics(sample.service_metrics, services_));
  faults_.look(sample.time);
  model_.faults.clear();
  TopNumber injected;
  for (const Json& scenario : list_at(sample.scenarios, "scenarios")) {
    model_.faults.push_back(fault_of(scenario, faults_));
    const TopFault& fault = model_.faults.back();
    if (!fault.shadow) injected = injected.value_or(0) + fault.injected_rate.value_or(0);
  }
  model_.drops = drops_of(sample, drops_);
  if (model_.host.busy) {
    remember(model_.past.cpu, model_.host.busy);
    remember(model_.past.injected, injected.value_or(0));
    remember(model_.past.retransmits, model_.host.retransmits.value_or(0));
  }
  return model_;
}

}  // namespace chaos::ctl
