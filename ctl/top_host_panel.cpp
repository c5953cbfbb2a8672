// The header and the host panel of chaosctl top.
#include <algorithm>

#include <fmt/format.h>

#include "ctl/top_panels.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kBeside = 132;     // from here on there is room for the devices beside the figures
constexpr std::size_t kFigures = 86;     // columns of the figures, the past included, where there is
constexpr std::size_t kMostDevices = 6;  // as many as the figures have lines

Colour level(TopNumber value, double warn, double bad) {
  if (!value || *value < warn) return Colour::kNone;
  return *value < bad ? Colour::kYellow : Colour::kRed;
}

/// Anything at all of it is worth a look.
Colour any(TopNumber value) { return level(value, 1e-9, 1e18); }

std::string rate_text(TopNumber value) { return value ? number_text(value) + "/s" : "-"; }

TopNumber share_of(const std::map<std::string, double>& cpu, std::initializer_list<const char*> modes) {
  if (cpu.empty()) return std::nullopt;
  double sum = 0;
  for (const char* mode : modes) {
    if (const auto found = cpu.find(mode); found != cpu.end()) sum += found->second;
  }
  return sum;
}

std::string plain_percent(TopNumber share) { return share ? fmt::format("{:.1f}", *share * 100) : "-"; }

TopLine cpu_line(const TopModel& model, TopPlace place) {
  const TopHost& host = model.host;
  TopLineMaker line(place.width, place.glyphs);
  line.add("CPU  ", Colour::kBold).add(fmt::format("{:>6}", percent_text(host.busy)), level(host.busy, 0.7, 0.9));
  const TopNumber steal = share_of(host.cpu, {"steal"});
  line.field("us", plain_percent(share_of(host.cpu, {"user", "nice"})));
  line.field("sy", plain_percent(share_of(host.cpu, {"system"})));
  line.field("wa", plain_percent(share_of(host.cpu, {"iowait"})));
  line.field("irq", plain_percent(share_of(host.cpu, {"irq", "softirq"})));
  line.field("steal", plain_percent(steal), level(steal, 0.02, 0.1));
  if (host.load[0]) {
    const std::size_t before = line.used();
    line.field("load",
               fmt::format("{:.2f} {:.2f} {:.2f}", *host.load[0], host.load[1].value_or(0), host.load[2].value_or(0)));
    if (line.used() == before) line.field("load", fmt::format("{:.2f}", *host.load[0]));
  }
  line.field("", host.cpus > 0 ? fmt::format("{} CPUs", host.cpus) : "");
  return line.line();
}

TopLine memory_line(const TopHost& host, TopPlace place) {
  TopNumber used;
  if (host.memory_total && host.memory_available && *host.memory_total > 0) {
    used = 1 - *host.memory_available / *host.memory_total;
  }
  TopNumber swap;
  if (host.swap_total && host.swap_free) swap = *host.swap_total - *host.swap_free;
  TopLineMaker line(place.width, place.glyphs);
  line.add("Mem  ", Colour::kBold).add(fmt::format("{:>6}", percent_text(used)), level(used, 0.8, 0.92));
  line.field("of", bytes_text(host.memory_total));
  line.field("available", bytes_text(host.memory_available));
  line.field("cached", bytes_text(host.memory_cached));
  line.field("swap", bytes_text(swap));
  line.field("OOM kills", number_text(host.oom_kills), any(host.oom_kills));
  return line.line();
}

TopLine pressure_line(const TopHost& host, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add("PSI  ", Colour::kBold);
  if (host.pressure.empty()) {
    line.add("      -");
    return line.line();
  }
  bool first = true;
  for (const char* resource : {"cpu", "memory", "io"}) {
    const auto found = host.pressure.find(resource);
    if (found == host.pressure.end()) continue;
    const TopPressure& pressure = found->second;
    if (first) line.add("waiting");
    first = false;
    line.add(" ");
    line.field_behind(resource, percent_text(pressure.waiting), level(pressure.waiting, 0.2, 0.5));
  }
  line.field("", "stalled");
  line.add(" ");
  for (const char* resource : {"memory", "io"}) {
    const auto found = host.pressure.find(resource);
    if (found == host.pressure.end()) continue;
    line.field(resource, percent_text(found->second.stalled), level(found->second.stalled, 0.05, 0.2));
  }
  return line.line();
}

TopNumber total(const std::vector<TopDevice>& devices, TopNumber TopDevice::*field) {
  TopNumber sum;
  for (const TopDevice& device : devices) {
    if (device.*field) sum = sum.value_or(0) + *(device.*field);
  }
  return sum;
}

TopLine network_line(const TopHost& host, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add("Net  ", Colour::kBold);
  const TopNumber lost = total(host.networks, &TopDevice::lost);
  if (host.networks.empty()) line.add("     -");
  for (std::size_t i = 0; i < std::min<std::size_t>(host.networks.size(), 2); ++i) {
    const TopDevice& device = host.networks[i];
    if (i > 0) line.add(" ");
    line.field_behind(device.name, fmt::format("in {} out {}", bytes_text(device.in), bytes_text(device.out)));
  }
  line.field("lost", rate_text(lost), any(lost));
  return line.line();
}

TopLine disk_line(const TopHost& host, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add("Disk ", Colour::kBold);
  if (host.disks.empty()) line.add("     -");
  for (std::size_t i = 0; i < std::min<std::size_t>(host.disks.size(), 2); ++i) {
    const TopDevice& device = host.disks[i];
    if (i > 0) line.add(" ");
    line.field_behind(device.name,
                      fmt::format("read {} write {} busy {}", bytes_text(device.in), bytes_text(device.out),
                                  percent_text(device.busy)),
                      level(device.busy, 0.7, 0.95));
  }
  return line.line();
}

TopLine tcp_line(const TopHost& host, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add("TCP  ", Colour::kBold).add(fmt::format("{:>6} open", number_text(host.established)));
  line.field("retransmits", rate_text(host.retransmits), any(host.retransmits));
  line.field("timeouts", rate_text(host.timeouts), any(host.timeouts));
  line.field("resets", rate_text(host.resets));
  TopNumber queues;
  for (const TopNumber drops : {host.listen_drops, host.softnet_drops, host.qdisc_drops, host.buffer_drops}) {
    if (drops) queues = queues.value_or(0) + *drops;
  }
  line.field("queues full", rate_text(queues), any(queues));
  return line.line();
}

TopLine past_line(std::string_view label, const std::deque<double>& past, double most, std::string_view newest,
                  TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  line.add(fmt::format("{:<16}", label), Colour::kBold).add(fmt::format("{:>8} ", newest));
  line.add(past_text(past, line.left(), most, place.glyphs), Colour::kGreen);
  return line.line();
}

std::vector<TopLine> device_lines(const TopHost& host, TopPlace place) {
  std::vector<TopRow> rows;
  const auto add = [&](const std::vector<TopDevice>& devices, std::size_t most) {
    for (std::size_t i = 0; i < std::min(devices.size(), most); ++i) {
      const TopDevice& one = devices[i];
      rows.push_back({{{one.name},
                       {bytes_text(one.in)},
                       {bytes_text(one.out)},
                       {one.lost ? number_text(one.lost) : "", any(one.lost)},
                       {one.busy ? percent_text(one.busy) : "", level(one.busy, 0.7, 0.95)}},
                      false});
    }
  };
  add(host.networks, kMostDevices - std::min<std::size_t>(host.disks.size(), 2));
  add(host.disks, kMostDevices - rows.size());
  return table_lines({{"DEVICE", false, 6, 24},
                      {"IN, READ/s", true, 6},
                      {"OUT, WRITE/s", true, 6},
                      {"LOST/s", true, 6},
                      {"BUSY", true, 4}},
                     rows, place.width, place.glyphs);
}

}  // namespace

TopLine header_line(const TopModel& model, const TopView& view, TopPlace place) {
  TopLineMaker line(place.width, place.glyphs);
  std::string clock = view.paused ? "paused" : fmt::format("every {}", span_text(view.interval));
  clock += "  " + format_rfc3339(model.time).substr(11, 8) + " UTC";
  if (!model.lost.empty()) {
    const auto since = model.time - model.lost_since.value_or(model.time);
    line.add(
        fmt::format("NOT CONNECTED for {}: {}", span_text(std::chrono::floor<std::chrono::seconds>(since)), model.lost),
        Colour::kRed);
    return line.reversed();
  }
  line.add("chaosd " + model.version);
  if (!model.instance.empty() && model.instance != "default") line.field("", model.instance);
  line.field("", "up " + span_text(std::chrono::seconds(model.uptime_seconds)));
  if (model.latched) {
    line.field("", "LATCHED by an emergency stop", Colour::kRed);
  } else {
    line.field("", model.armed ? "armed" : "not armed", model.armed ? Colour::kNone : Colour::kYellow);
    line.field("", fmt::format("lease {}ms", model.lease_ms), model.lease_ms < 250 ? Colour::kRed : Colour::kNone);
  }
  if (model.status != "ok" && !model.latched) line.field("", model.status, Colour::kRed);
  line.at_end(clock);
  return line.reversed();
}

std::vector<TopLine> host_lines(const TopModel& model, TopPlace place) {
  const bool wide = place.width >= kBeside;
  const TopPlace figures{wide ? kFigures : place.width, place.glyphs};
  const TopHost& host = model.host;
  std::vector<TopLine> lines{cpu_line(model, figures),    memory_line(host, figures), pressure_line(host, figures),
                             network_line(host, figures), disk_line(host, figures),   tcp_line(host, figures)};
  if (!wide) return lines;
  lines.push_back(past_line("CPU", model.past.cpu, 1, percent_text(host.busy), figures));
  const auto newest = [](const std::deque<double>& past) {
    return past.empty() ? std::string("-") : rate_text(past.back());
  };
  lines.push_back(past_line("faults injected", model.past.injected, 1, newest(model.past.injected), figures));
  lines.push_back(past_line("TCP retransmits", model.past.retransmits, 1, newest(model.past.retransmits), figures));
  return beside(std::move(lines), device_lines(host, {place.width - kFigures - 2, place.glyphs}), kFigures);
}

}  // namespace chaos::ctl
