#include "support/outside.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "support/daemon.h"
#include "support/net.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using Value = std::optional<double>;
using Row = std::vector<std::string>;

std::vector<Row> rows_of(std::istream& text) {
  std::vector<Row> rows;
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    Row row;
    for (std::string word; words >> word;) row.push_back(word);
    if (!row.empty()) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Row> rows_of_file(const std::string& path) {
  std::ifstream file(path);
  return rows_of(file);
}

/// Column `column` of the line that begins with `key`, times `factor`.
Value field(const std::string& path, const std::string& key, std::size_t column, double factor = 1) {
  for (const Row& row : rows_of_file(path)) {
    if (row[0] == key && row.size() > column) return std::stod(row[column]) * factor;
  }
  return std::nullopt;
}

OutsideReader fixed(std::string path, std::string key, std::size_t column, double factor = 1, double slack = 0) {
  return {[=](const Labels&) { return field(path, key, column, factor); }, slack};
}

/// nstat(8), absolute values: its own parser of the kernel's tables.
OutsideReader nstat(const std::string& name) {
  return {[name](const Labels&) -> Value {
    std::istringstream text(shell("nstat -asz " + name));
    for (const Row& row : rows_of(text)) {
      if (row[0] == name) return std::stod(row[1]);
    }
    return std::nullopt;
  }};
}

OutsideReader link_stat(const std::string& direction, const std::string& name) {
  return {[=](const Labels& labels) -> Value {
    const json links = json::parse(shell("ip -s -s -j link show dev " + labels.at("device")));
    return links.at(0).at("stats64").at(direction).at(name).get<double>();
  }};
}

OutsideReader qdisc(const std::string& name) {
  return {[name](const Labels& labels) -> Value {
    for (const json& one : json::parse(shell("tc -s -j qdisc show dev " + labels.at("device")))) {
      const std::string parent = one.value("root", false) ? "root" : one.value("parent", "");
      const std::string kind = one.at("kind");
      const bool ingress = kind == "ingress" || kind == "clsact";
      if (kind != labels.at("qdisc") || (!ingress && parent != labels.at("parent"))) continue;
      return one.at(name).get<double>();
    }
    return std::nullopt;
  }};
}

Value cpu_time(const Labels& labels) {
  static const std::vector<std::string> kModes{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i] == labels.at("mode")) return field("/proc/stat", "cpu" + labels.at("cpu"), i + 1, 0.01);
  }
  return std::nullopt;
}

OutsideReader pressure(const std::string& kind) {
  return {[kind](const Labels& labels) -> Value {
    for (const Row& row : rows_of_file("/proc/pressure/" + labels.at("resource"))) {
      if (row[0] == kind) return std::stod(row.back().substr(row.back().find('=') + 1)) / 1e6;
    }
    return std::nullopt;
  }};
}

/// /sys/block and /sys/class/block, Documentation/block/stat.rst: not the file that chaosd reads.
OutsideReader disk(std::size_t column, double factor) {
  return {[=](const Labels& labels) -> Value {
    const auto rows = rows_of_file("/sys/class/block/" + labels.at("device") + "/stat");
    if (rows.empty()) return std::nullopt;
    return std::stod(rows[0].at(column)) * factor;
  }};
}

OutsideReader filesystem(double (*of)(const struct statvfs&)) {
  return {[of](const Labels& labels) -> Value {
    struct statvfs found {};
    if (::statvfs(labels.at("mountpoint").c_str(), &found) != 0) return std::nullopt;
    return of(found);
  }};
}

OutsideReader softnet(std::size_t column) {
  return {[column](const Labels& labels) -> Value {
    const auto rows = rows_of_file("/proc/net/softnet_stat");
    const std::size_t cpu = std::stoul(labels.at("cpu"));
    if (cpu >= rows.size()) return std::nullopt;
    return static_cast<double>(std::stoul(rows[cpu].at(column), nullptr, 16));
  }};
}

Value sockets(const Labels& labels) {
  std::string title = labels.at("protocol") + ":";
  for (char& c : title) c = static_cast<char>(std::toupper(c));
  const std::string state = labels.contains("state") ? labels.at("state") : "mem";
  for (const char* path : {"/proc/net/sockstat", "/proc/net/sockstat6"}) {
    for (const Row& row : rows_of_file(path)) {
      if (row[0] != title) continue;
      for (std::size_t i = 1; i + 1 < row.size(); i += 2) {
        if (row[i] == state) return std::stod(row[i + 1]);
      }
    }
  }
  return std::nullopt;
}

void add_host(std::map<std::string, OutsideReader>& all) {
  constexpr double kKib = 1024;
  const std::string meminfo = "/proc/meminfo";
  all["chaosd_host_cpu_seconds_total"] = {cpu_time, 0.05};
  all["chaosd_host_context_switches_total"] = fixed("/proc/stat", "ctxt", 1);
  all["chaosd_host_forks_total"] = fixed("/proc/stat", "processes", 1);
  all["chaosd_host_tasks_runnable"] = fixed("/proc/stat", "procs_running", 1);
  for (const auto& [metric, column] : std::map<std::string, std::size_t>{{"1", 0}, {"5", 1}, {"15", 2}}) {
    all["chaosd_host_load" + metric] = {
        [column](const Labels&) -> Value { return std::stod(rows_of_file("/proc/loadavg").at(0).at(column)); }};
  }
  all["chaosd_host_tasks_blocked"] = fixed("/proc/stat", "procs_blocked", 1);
  for (const auto& [metric, key] : std::map<std::string, std::string>{{"memory_total", "MemTotal:"},
                                                                      {"memory_free", "MemFree:"},
                                                                      {"memory_available", "MemAvailable:"},
                                                                      {"memory_cached", "Cached:"},
                                                                      {"memory_dirty", "Dirty:"},
                                                                      {"memory_writeback", "Writeback:"},
                                                                      {"swap_total", "SwapTotal:"},
                                                                      {"swap_free", "SwapFree:"}}) {
    all["chaosd_host_" + metric + "_bytes"] = fixed(meminfo, key, 1, kKib);
  }
  for (const auto& [metric, key] : std::map<std::string, std::string>{{"memory_major_page_faults", "pgmajfault"},
                                                                      {"memory_page_faults", "pgfault"},
                                                                      {"swap_in_pages", "pswpin"},
                                                                      {"swap_out_pages", "pswpout"},
                                                                      {"oom_kills", "oom_kill"}}) {
    all["chaosd_host_" + metric + "_total"] = fixed("/proc/vmstat", key, 1);
  }
  all["chaosd_host_memory_usage_ratio"] = {[meminfo](const Labels&) -> Value {
    return 1 - *field(meminfo, "MemAvailable:", 1) / *field(meminfo, "MemTotal:", 1);
  }};
  all["chaosd_host_pressure_waiting_seconds_total"] = pressure("some");
  all["chaosd_host_pressure_stalled_seconds_total"] = pressure("full");
  all["chaosd_host_disk_reads_completed_total"] = disk(0, 1);
  all["chaosd_host_disk_read_bytes_total"] = disk(2, 512);
  all["chaosd_host_disk_read_time_seconds_total"] = disk(3, 1e-3);
  all["chaosd_host_disk_writes_completed_total"] = disk(4, 1);
  all["chaosd_host_disk_written_bytes_total"] = disk(6, 512);
  all["chaosd_host_disk_write_time_seconds_total"] = disk(7, 1e-3);
  all["chaosd_host_disk_io_now"] = disk(8, 1);
  all["chaosd_host_disk_io_time_seconds_total"] = disk(9, 1e-3);
  all["chaosd_host_filesystem_size_bytes"] = filesystem(
      [](const struct statvfs& fs) { return static_cast<double>(fs.f_blocks) * static_cast<double>(fs.f_frsize); });
  all["chaosd_host_filesystem_avail_bytes"] = filesystem(
      [](const struct statvfs& fs) { return static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize); });
  all["chaosd_host_filesystem_files_free"] =
      filesystem([](const struct statvfs& fs) { return static_cast<double>(fs.f_ffree); });
}

void add_network(std::map<std::string, OutsideReader>& all) {
  for (const auto& [name, direction] : std::map<std::string, std::string>{{"receive", "rx"}, {"transmit", "tx"}}) {
    const std::string head = "chaosd_host_network_" + name + "_";
    all[head + "bytes_total"] = link_stat(direction, "bytes");
    all[head + "packets_total"] = link_stat(direction, "packets");
    all[head + "drop_total"] = link_stat(direction, "dropped");
    all[head + "errs_total"] = link_stat(direction, "errors");
  }
  all["chaosd_host_network_up"] = {[](const Labels& labels) -> Value {
    const json link = json::parse(shell("ip -j link show dev " + labels.at("device"))).at(0);
    const std::string flags = link.at("flags").dump();
    return flags.find("\"UP\"") != std::string::npos && flags.find("NO-CARRIER") == std::string::npos ? 1 : 0;
  }};
  all["chaosd_host_network_carrier_changes_total"] = {[](const Labels& labels) -> Value {
    std::ifstream file("/sys/class/net/" + labels.at("device") + "/carrier_changes");
    double changes = 0;
    return file >> changes ? Value(changes) : std::nullopt;
  }};
  all["chaosd_host_qdisc_drops_total"] = qdisc("drops");
  all["chaosd_host_qdisc_backlog_bytes"] = qdisc("backlog");
  all["chaosd_host_qdisc_overlimits_total"] = qdisc("overlimits");
  for (const auto& [metric, name] :
       std::map<std::string, std::string>{{"tcp_active_opens_total", "TcpActiveOpens"},
                                          {"tcp_passive_opens_total", "TcpPassiveOpens"},
                                          {"tcp_attempt_fails_total", "TcpAttemptFails"},
                                          {"tcp_established_resets_total", "TcpEstabResets"},
                                          {"tcp_received_segments_total", "TcpInSegs"},
                                          {"tcp_sent_segments_total", "TcpOutSegs"},
                                          {"tcp_retransmitted_segments_total", "TcpRetransSegs"},
                                          {"tcp_receive_errors_total", "TcpInErrs"},
                                          {"tcp_resets_sent_total", "TcpOutRsts"},
                                          {"udp_received_datagrams_total", "UdpInDatagrams"},
                                          {"udp_sent_datagrams_total", "UdpOutDatagrams"},
                                          {"udp_receive_errors_total", "UdpInErrors"},
                                          {"udp_receive_buffer_errors_total", "UdpRcvbufErrors"},
                                          {"udp_send_buffer_errors_total", "UdpSndbufErrors"},
                                          {"ip_receive_discards_total", "IpInDiscards"},
                                          {"ip_send_discards_total", "IpOutDiscards"},
                                          {"tcp_timeouts_total", "TcpExtTCPTimeouts"},
                                          {"tcp_syn_retransmits_total", "TcpExtTCPSynRetrans"},
                                          {"tcp_lost_retransmits_total", "TcpExtTCPLostRetransmit"},
                                          {"tcp_listen_overflows_total", "TcpExtListenOverflows"},
                                          {"tcp_listen_drops_total", "TcpExtListenDrops"},
                                          {"tcp_backlog_drops_total", "TcpExtTCPBacklogDrop"},
                                          {"tcp_receive_queue_drops_total", "TcpExtTCPRcvQDrop"},
                                          {"tcp_aborts_on_timeout_total", "TcpExtTCPAbortOnTimeout"},
                                          {"udp6_received_datagrams_total", "Udp6InDatagrams"},
                                          {"udp6_sent_datagrams_total", "Udp6OutDatagrams"},
                                          {"udp6_receive_buffer_errors_total", "Udp6RcvbufErrors"},
                                          {"ip6_receive_discards_total", "Ip6InDiscards"},
                                          {"ip6_send_discards_total", "Ip6OutDiscards"}}) {
    all["chaosd_host_" + metric] = nstat(name);
  }
  // nstat leaves gauges out.
  all["chaosd_host_tcp_established"] = {[](const Labels&) -> Value {
    const auto rows = rows_of_file("/proc/net/snmp");
    for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
      if (rows[i][0] != "Tcp:") continue;
      for (std::size_t column = 1; column < rows[i].size(); ++column) {
        if (rows[i][column] == "CurrEstab") return std::stod(rows[i + 1].at(column));
      }
    }
    return std::nullopt;
  }};
  all["chaosd_host_softnet_processed_total"] = softnet(0);
  all["chaosd_host_softnet_dropped_total"] = softnet(1);
  all["chaosd_host_softnet_times_squeezed_total"] = softnet(2);
  all["chaosd_host_sockets"] = {sockets};
  all["chaosd_host_socket_memory_pages"] = {sockets};
}

std::map<std::string, OutsideReader> make_readers() {
  std::map<std::string, OutsideReader> all;
  add_host(all);
  add_network(all);
  return all;
}

}  // namespace

double series_value(const Daemon& daemon, const std::string& name, const Labels& labels) {
  const json answer = daemon.get("/api/monitoring/metrics?pattern=" + name).body;
  for (const json& series : answer.at("metrics")) {
    const json& has = series.at("labels");
    if (series.at("name") != name) continue;
    if (std::ranges::all_of(labels, [&](const auto& label) { return has.value(label.first, "") == label.second; })) {
      return series.at("value");
    }
  }
  return -1;
}

const std::map<std::string, OutsideReader>& outside_readers() {
  static const auto readers = make_readers();
  return readers;
}

}  // namespace chaos::test
