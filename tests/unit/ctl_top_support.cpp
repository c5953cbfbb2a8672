#include "ctl_top_support.h"

#include <cmath>

namespace chaos::test {

using ctl::Json;

WallTime at_second(double seconds) {
  constexpr std::int64_t kBegin = 1'795'000'000'000;  // Unix ms
  return WallTime(std::chrono::milliseconds(kBegin + std::llround(seconds * 1000)));
}

namespace {

Json series(const char* name, const char* type, double value, Json labels = Json::object()) {
  return {{"name", name}, {"type", type}, {"unit", ""}, {"labels", std::move(labels)}, {"value", value}};
}

}  // namespace

Json host_answer(double seconds) {
  Json list = Json::array();
  const auto counter = [&](const char* name, double each_second, Json labels = Json::object()) {
    list.push_back(series(name, "counter", 1000 + each_second * seconds, std::move(labels)));
  };
  for (const char* cpu : {"0", "1"}) {
    for (const auto& [mode, share] : std::initializer_list<std::pair<const char*, double>>{
             {"user", 0.2}, {"system", 0.1}, {"softirq", 0.02}, {"steal", 0.03}, {"iowait", 0.05}, {"idle", 0.6}}) {
      counter("chaosd_host_cpu_seconds_total", share, {{"cpu", cpu}, {"mode", mode}});
    }
  }
  const auto gauge = [&](const char* name, double value) { list.push_back(series(name, "gauge", value)); };
  gauge("chaosd_host_load1", 0.52);
  gauge("chaosd_host_load5", 0.4);
  gauge("chaosd_host_load15", 0.3);
  gauge("chaosd_host_memory_total_bytes", 8.0 * (1 << 30));
  gauge("chaosd_host_memory_available_bytes", 6.0 * (1 << 30));
  gauge("chaosd_host_memory_cached_bytes", 2.0 * (1 << 30));
  gauge("chaosd_host_swap_total_bytes", 0);
  gauge("chaosd_host_swap_free_bytes", 0);
  gauge("chaosd_host_oom_kills_total", 3);
  gauge("chaosd_host_tcp_established", 128);
  counter("chaosd_host_pressure_waiting_seconds_total", 0.25, {{"resource", "cpu"}});
  counter("chaosd_host_pressure_waiting_seconds_total", 0.01, {{"resource", "memory"}});
  counter("chaosd_host_pressure_stalled_seconds_total", 0.005, {{"resource", "memory"}});
  counter("chaosd_host_network_receive_bytes_total", 2048, {{"device", "eth0"}});
  counter("chaosd_host_network_transmit_bytes_total", 1024, {{"device", "eth0"}});
  counter("chaosd_host_network_receive_drop_total", 2, {{"device", "eth0"}});
  counter("chaosd_host_network_receive_errs_total", 1, {{"device", "eth0"}});
  counter("chaosd_host_network_receive_bytes_total", 0, {{"device", "a0"}});
  counter("chaosd_host_network_transmit_bytes_total", 0, {{"device", "a0"}});
  counter("chaosd_host_disk_read_bytes_total", 0, {{"device", "vda"}});
  counter("chaosd_host_disk_written_bytes_total", 4096, {{"device", "vda"}});
  counter("chaosd_host_disk_io_time_seconds_total", 0.5, {{"device", "vda"}});
  counter("chaosd_host_tcp_retransmitted_segments_total", 12);
  return {{"time", format_rfc3339(at_second(seconds))}, {"metrics", std::move(list)}};
}

Json loss_scenario(const std::string& id, std::uint64_t injected) {
  return {
      {"id", id},
      {"state", "active"},
      {"kind", "packet_loss"},
      {"target", {{"interface", "eth1"}, {"port", {"80", "443"}}}},
      {"severity", 2},
      {"mode", "armed"},
      {"reason", "drill"},
      {"owner", {{"uid", 0}, {"user", "root"}, {"comm", "chaosctl"}}},
      {"plan", {{"mechanism", "tcx"}, {"parameters", {{"model", "random"}, {"probability", "10%"}, {"seed", "42"}}}}},
      {"ends_at", format_rfc3339(at_second(100))},
      {"achieved", {{"probability", "9.3%"}}},
      {"counters",
       {{"evaluated", injected * 11},
        {"unmatched", injected},
        {"matched", injected * 10},
        {"injected", injected},
        {"not_sampled", injected * 9}}},
      {"warnings", Json::array()}};
}

Json services_answer() {
  return {
      {"services",
       {{{"name", "web"},
         {"place", "unit nginx.service"},
         {"running", true},
         {"pids", {11, 12}},
         {"touched_by", Json::array()},
         {"health", {{"state", "healthy"}, {"since", format_rfc3339(at_second(-60))}}}},
        {{"name", "store"},
         {"place", "process redis-server"},
         {"running", true},
         {"pids", {20}},
         {"touched_by", {"01J8Z3Q4R5S6T7V8W9XAYBZCDE"}},
         {"health",
          {{"state", "unhealthy"}, {"reason", "no answer within 1 s"}, {"since", format_rfc3339(at_second(0))}}}}}}};
}

Json drops_answer(double seconds, std::uint64_t injected, std::uint64_t natural) {
  return {{"scope", "host"},
          {"since", format_rfc3339(at_second(0))},
          {"until", format_rfc3339(at_second(seconds))},
          {"seconds", seconds},
          {"total", injected + natural},
          {"injected", injected},
          {"natural", natural},
          {"reasons",
           {{{"reason", "TC_INGRESS"}, {"origin", "injected"}, {"count", injected}},
            {{"reason", "SOCKET_RCVBUFF"}, {"origin", "natural"}, {"count", natural}}}},
          {"oom_kills", 0},
          {"notes", Json::array()}};
}

Json tcp_answer(double seconds, std::uint64_t retransmits) {
  return {{"scope", "host"},
          {"since", format_rfc3339(at_second(0))},
          {"until", format_rfc3339(at_second(seconds))},
          {"seconds", seconds},
          {"retransmits", {{"packets", retransmits}, {"segments", retransmits}, {"syn", 1}, {"synack", 2}}},
          {"resets", {{"sent", 4}, {"received", 5}}},
          {"rtt", {{"samples", 1000}, {"p50_us", 511}, {"p99_us", 895}}}};
}

ctl::TopSample sample_at(double seconds) {
  ctl::TopSample sample;
  sample.time = at_second(seconds);
  sample.health = {{"status", "ok"}, {"version", "0.1.0"}, {"instance", "default"},  {"pid", 77},
                   {"armed", true},  {"latched", false},   {"lease_margin_ms", 874}, {"uptime_seconds", 3661}};
  sample.scenarios = {
      {"scenarios", {loss_scenario("01J8Z3Q4R5S6T7V8W9XAYBZCDE", static_cast<std::uint64_t>(10 * seconds))}}};
  sample.services = services_answer();
  sample.host = host_answer(seconds);
  sample.service_metrics = {
      {"time", format_rfc3339(at_second(seconds))},
      {"metrics",
       {series("chaosd_service_process_cpu_seconds", "gauge", 5 + 0.5 * seconds, {{"service", "web"}}),
        series("chaosd_service_memory_bytes", "gauge", 3.0 * (1 << 20), {{"service", "web"}})}}};
  return sample;
}

std::vector<std::string> screen(const ctl::TopModel& model, const ctl::TopView& view, ctl::TopSize size, bool unicode) {
  std::vector<std::string> lines;
  for (const ctl::TopLine& line : ctl::lay_out(model, view, size, {unicode})) {
    std::string text;
    for (const ctl::TopSpan& span : line.spans) text += span.text;
    text.erase(text.find_last_not_of(' ') + 1);
    lines.push_back(std::move(text));
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace chaos::test
