#include "ctl/top_host.h"

#include <algorithm>
#include <set>

#include "ctl/json_text.h"
#include "ctl/text.h"

namespace chaos::ctl {
namespace {

using Values = std::map<std::string, double>;

TopNumber at(const Values& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? TopNumber() : found->second;
}

TopNumber sum(TopNumber one, TopNumber other) {
  if (!one) return other;
  return other ? TopNumber(*one + *other) : one;
}

void read_cpu(const TopMetrics& metrics, TopHost& host) {
  constexpr std::string_view kTime = "chaosd_host_cpu_seconds_total";
  host.cpus = static_cast<unsigned>(metrics.values_by(kTime, "cpu").size());
  host.cpu = metrics.rates_by(kTime, "mode");
  double all = 0;
  for (const auto& [mode, rate] : host.cpu) all += rate;
  if (all <= 0) return host.cpu.clear();
  double idle = 0;
  for (auto& [mode, share] : host.cpu) {
    share /= all;
    if (mode == "idle" || mode == "iowait") idle += share;
  }
  host.busy = 1 - idle;
}

double traffic(const TopDevice& device) { return device.in.value_or(0) + device.out.value_or(0); }

/// Those without any traffic come last, by name.
void sort_devices(std::vector<TopDevice>& devices) {
  std::ranges::stable_sort(devices, std::ranges::greater(), traffic);
}

void read_networks(const TopMetrics& metrics, TopHost& host) {
  const std::string head = "chaosd_host_network_";
  const Values in = metrics.rates_by(head + "receive_bytes_total", "device");
  const Values out = metrics.rates_by(head + "transmit_bytes_total", "device");
  std::map<std::string, TopNumber> lost;
  for (const char* name : {"receive_drop_total", "receive_errs_total", "transmit_drop_total", "transmit_errs_total"}) {
    for (const auto& [device, rate] : metrics.rates_by(head + name, "device")) {
      lost[device] = sum(lost[device], rate);
    }
  }
  for (const auto& [device, ignored] : metrics.values_by(head + "receive_bytes_total", "device")) {
    host.networks.push_back({device, at(in, device), at(out, device), lost[device], {}});
  }
  sort_devices(host.networks);
}

void read_disks(const TopMetrics& metrics, TopHost& host) {
  const std::string head = "chaosd_host_disk_";
  const Values in = metrics.rates_by(head + "read_bytes_total", "device");
  const Values out = metrics.rates_by(head + "written_bytes_total", "device");
  const Values busy = metrics.rates_by(head + "io_time_seconds_total", "device");
  for (const auto& [device, ignored] : metrics.values_by(head + "read_bytes_total", "device")) {
    host.disks.push_back({device, at(in, device), at(out, device), {}, at(busy, device)});
  }
  sort_devices(host.disks);
}

void read_protocols(const TopMetrics& metrics, TopHost& host) {
  host.established = metrics.value("chaosd_host_tcp_established");
  host.retransmits = metrics.rate("chaosd_host_tcp_retransmitted_segments_total");
  host.timeouts = metrics.rate("chaosd_host_tcp_timeouts_total");
  host.resets = metrics.rate("chaosd_host_tcp_resets_sent_total");
  host.listen_drops = metrics.rate("chaosd_host_tcp_listen_drops_total");
  host.softnet_drops = metrics.rate("chaosd_host_softnet_dropped_total");
  host.qdisc_drops = metrics.rate("chaosd_host_qdisc_drops_total");
  host.buffer_drops = sum(metrics.rate("chaosd_host_udp_receive_buffer_errors_total"),
                          metrics.rate("chaosd_host_udp6_receive_buffer_errors_total"));
}

}  // namespace

TopMetrics::TopMetrics(const Json& answer, TopRates& rates) {
  rates.look(parse_rfc3339(text_of(answer, "time")));
  for (const Json& series : list_at(answer, "metrics")) {
    const Json& value = member(series, "value");
    if (!value.is_number()) continue;
    const Json& labels = member(series, "labels");
    const std::string name = text_of(series, "name");
    const auto number = value.get<double>();
    series_.push_back({name, &labels, number, rates.of(name + text_of(labels), number)});
  }
}

TopNumber TopMetrics::value(std::string_view name) const {
  const auto found = std::ranges::find(series_, name, &Series::name);
  return found == series_.end() ? TopNumber() : found->value;
}

TopNumber TopMetrics::rate(std::string_view name) const {
  TopNumber all;
  for (const Series& series : series_) {
    if (series.name == name) all = sum(all, series.rate);
  }
  return all;
}

std::map<std::string, double> TopMetrics::values_by(std::string_view name, std::string_view label) const {
  Values values;
  for (const Series& series : series_) {
    if (series.name == name) values[text_of(*series.labels, label)] += series.value;
  }
  return values;
}

std::map<std::string, double> TopMetrics::rates_by(std::string_view name, std::string_view label) const {
  Values values;
  for (const Series& series : series_) {
    if (series.name == name && series.rate) values[text_of(*series.labels, label)] += *series.rate;
  }
  return values;
}

TopHost host_of(const TopMetrics& metrics) {
  TopHost host;
  read_cpu(metrics, host);
  host.load = {metrics.value("chaosd_host_load1"), metrics.value("chaosd_host_load5"),
               metrics.value("chaosd_host_load15")};
  host.runnable = metrics.value("chaosd_host_tasks_runnable");
  host.blocked = metrics.value("chaosd_host_tasks_blocked");
  host.memory_total = metrics.value("chaosd_host_memory_total_bytes");
  host.memory_available = metrics.value("chaosd_host_memory_available_bytes");
  host.memory_cached = metrics.value("chaosd_host_memory_cached_bytes");
  host.swap_total = metrics.value("chaosd_host_swap_total_bytes");
  host.swap_free = metrics.value("chaosd_host_swap_free_bytes");
  host.oom_kills = metrics.value("chaosd_host_oom_kills_total");
  for (const auto& [resource, share] : metrics.rates_by("chaosd_host_pressure_waiting_seconds_total", "resource")) {
    host.pressure[resource].waiting = share;
  }
  for (const auto& [resource, share] : metrics.rates_by("chaosd_host_pressure_stalled_seconds_total", "resource")) {
    host.pressure[resource].stalled = share;
  }
  read_networks(metrics, host);
  read_disks(metrics, host);
  read_protocols(metrics, host);
  return host;
}

}  // namespace chaos::ctl
