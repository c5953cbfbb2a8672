// CPU, memory, pressure, disks and file systems of the host: proc(5), Documentation/accounting/psi.rst,
// Documentation/admin-guide/iostats.rst.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/contains.h"
#include "telemetry/collector.h"
#include "telemetry/sampled_file.h"

namespace chaos {
namespace {

using std::string_view;

constexpr std::uint32_t kUserHz = 100;  // what /proc counts in, on every architecture that has BPF (linux/param.h)
constexpr std::uint32_t kMilli = 1000;
constexpr std::uint32_t kMicro = 1'000'000;
constexpr std::int64_t kKib = 1024;

constexpr MetricSpec counter(string_view name, string_view unit, std::uint32_t scale, string_view help,
                             std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kCounter, unit, scale, help, labels};
}
constexpr MetricSpec gauge(string_view name, string_view unit, string_view help,
                           std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kGauge, unit, 1, help, labels};
}

constexpr MetricSpec kCpu =
    counter("chaosd_host_cpu_seconds_total", "seconds", kUserHz,
            "Time that each CPU spent in each mode; steal and softirq spoil timings.", {"cpu", "mode"});
constexpr MetricSpec kSwitches = counter("chaosd_host_context_switches_total", "", 1, "Context switches.");
constexpr MetricSpec kForks = counter("chaosd_host_forks_total", "", 1, "Processes and threads made.");
constexpr MetricSpec kRunnable = gauge("chaosd_host_tasks_runnable", "", "Tasks that run or wait for a CPU.");
constexpr MetricSpec kBlocked = gauge("chaosd_host_tasks_blocked", "", "Tasks that wait for I/O.");
constexpr std::uint32_t kCenti = 100;
constexpr std::array kLoads{
    MetricSpec{"chaosd_host_load1", MetricType::kGauge, "", kCenti, "Load average of 1 minute.", {}},
    MetricSpec{"chaosd_host_load5", MetricType::kGauge, "", kCenti, "Load average of 5 minutes.", {}},
    MetricSpec{"chaosd_host_load15", MetricType::kGauge, "", kCenti, "Load average of 15 minutes.", {}},
};

class CpuCollector final : public Collector {
 public:
  explicit CpuCollector(const TelemetryRoots& roots) : stat_(roots.proc / "stat"), loadavg_(roots.proc / "loadavg") {}
  [[nodiscard]] string_view name() const override { return "cpu"; }

  Status collect(Registry& registry) override {
    const auto text = stat_.read(buffer_);
    if (!text) return std::unexpected(text.error());
    Words lines(*text);
    while (const auto line = lines.line()) take(*line, registry);
    const auto load = loadavg_.read(buffer_);
    if (!load) return std::unexpected(load.error());
    Words loads(*load);
    for (const MetricSpec& metric : kLoads) {
      if (const auto value = hundredths(loads.word())) registry.set(metric, *value);
    }
    return {};
  }

 private:
  /// "12.34" (fs/proc/loadavg.c prints two places) as 1234.
  static std::optional<std::int64_t> hundredths(string_view text) {
    const std::size_t point = text.find('.');
    if (point == string_view::npos || text.size() != point + 3) return std::nullopt;
    const auto whole = whole_number(text.substr(0, point));
    const auto rest = whole_number(text.substr(point + 1));
    if (!whole || !rest) return std::nullopt;
    return static_cast<std::int64_t>(*whole * kCenti + *rest);
  }

  static void take(string_view line, Registry& registry) {
    Words words(line);
    const string_view key = words.word();
    if (key.size() > 3 && key.starts_with("cpu")) return take_cpu(key.substr(3), words, registry);
    const MetricSpec* metric = key == "ctxt"            ? &kSwitches
                               : key == "processes"     ? &kForks
                               : key == "procs_running" ? &kRunnable
                               : key == "procs_blocked" ? &kBlocked
                                                        : nullptr;
    if (metric == nullptr) return;
    if (const auto value = words.number()) registry.set(*metric, static_cast<std::int64_t>(*value));
  }

  static void take_cpu(string_view cpu, Words& words, Registry& registry) {
    // What guests took is in user and nice already.
    static constexpr std::array<string_view, 8> kModes{"user",   "nice", "system",  "idle",
                                                       "iowait", "irq",  "softirq", "steal"};
    for (const string_view mode : kModes) {
      const auto ticks = words.number();
      if (!ticks) return;
      registry.set(kCpu, {cpu, mode}, static_cast<std::int64_t>(*ticks));
    }
  }

  SampledFile stat_;
  SampledFile loadavg_;
  std::string buffer_;
};

/// A line "NAME value" of a file and what it is here.
struct Keyed {
  string_view key;
  MetricSpec metric;
};

constexpr std::array kMeminfo{
    Keyed{"MemTotal:", gauge("chaosd_host_memory_total_bytes", "bytes", "Memory that the kernel manages.")},
    Keyed{"MemFree:", gauge("chaosd_host_memory_free_bytes", "bytes", "Memory that nobody uses.")},
    Keyed{"MemAvailable:",
          gauge("chaosd_host_memory_available_bytes", "bytes", "Memory that programs could get without swapping.")},
    Keyed{"Cached:", gauge("chaosd_host_memory_cached_bytes", "bytes", "Page cache, with shared memory.")},
    Keyed{"Dirty:", gauge("chaosd_host_memory_dirty_bytes", "bytes", "Pages that wait to be written to disk.")},
    Keyed{"Writeback:", gauge("chaosd_host_memory_writeback_bytes", "bytes", "Pages being written to disk.")},
    Keyed{"SwapTotal:", gauge("chaosd_host_swap_total_bytes", "bytes", "Swap space.")},
    Keyed{"SwapFree:", gauge("chaosd_host_swap_free_bytes", "bytes", "Swap space that is not used.")},
};
constexpr std::array kVmstat{
    Keyed{"pgmajfault", counter("chaosd_host_memory_major_page_faults_total", "", 1, "Page faults that read a disk.")},
    Keyed{"pgfault", counter("chaosd_host_memory_page_faults_total", "", 1, "Page faults, minor and major.")},
    Keyed{"pswpin", counter("chaosd_host_swap_in_pages_total", "", 1, "Pages read from swap.")},
    Keyed{"pswpout", counter("chaosd_host_swap_out_pages_total", "", 1, "Pages written to swap.")},
    Keyed{"oom_kill", counter("chaosd_host_oom_kills_total", "", 1, "Processes that the kernel killed for memory.")},
};

void set_keyed(string_view text, std::span<const Keyed> table, std::int64_t factor, Registry& registry) {
  Words lines(text);
  while (const auto line = lines.line()) {
    Words words(*line);
    const string_view key = words.word();
    const auto row = std::ranges::find(table, key, &Keyed::key);
    if (row == table.end()) continue;
    if (const auto value = words.number()) registry.set(row->metric, static_cast<std::int64_t>(*value) * factor);
  }
}

constexpr MetricSpec kMemoryUsage{"chaosd_host_memory_usage_ratio",
                                  MetricType::kGauge,
                                  "ratio",
                                  kMicro,
                                  "Share of memory that is not available: the critical metric system_memory_usage.",
                                  {}};

class MemoryCollector final : public Collector {
 public:
  explicit MemoryCollector(const TelemetryRoots& roots)
      : meminfo_(roots.proc / "meminfo"), vmstat_(roots.proc / "vmstat") {}
  [[nodiscard]] string_view name() const override { return "memory"; }

  Status collect(Registry& registry) override {
    const auto memory = meminfo_.read(buffer_);
    if (memory) set_keyed(*memory, kMeminfo, kKib, registry);
    if (memory) set_usage(*memory, registry);
    Status status = memory ? Status{} : std::unexpected(memory.error());
    const auto vm = vmstat_.read(buffer_);
    if (vm) set_keyed(*vm, kVmstat, 1, registry);
    if (!vm && status) status = std::unexpected(vm.error());
    return status;
  }

 private:
  static void set_usage(string_view text, Registry& registry) {
    const auto total = keyed_number(text, "MemTotal:");
    const auto available = keyed_number(text, "MemAvailable:");
    if (!total || !available || *total == 0 || *available > *total) return;
    registry.set(kMemoryUsage, static_cast<std::int64_t>((*total - *available) * kMicro / *total));
  }

  SampledFile meminfo_;
  SampledFile vmstat_;
  std::string buffer_;
};

constexpr MetricSpec kWaiting = counter("chaosd_host_pressure_waiting_seconds_total", "seconds", kMicro,
                                        "Time in which some task waited for the resource (PSI some).", {"resource"});
constexpr MetricSpec kStalled =
    counter("chaosd_host_pressure_stalled_seconds_total", "seconds", kMicro,
            "Time in which all tasks that could run waited for the resource (PSI full).", {"resource"});

class PressureCollector final : public Collector {
 public:
  explicit PressureCollector(const TelemetryRoots& roots)
      : files_{Resource{"cpu", SampledFile(roots.proc / "pressure/cpu")},
               Resource{"memory", SampledFile(roots.proc / "pressure/memory")},
               Resource{"io", SampledFile(roots.proc / "pressure/io")}} {}
  [[nodiscard]] string_view name() const override { return "pressure"; }

  Status collect(Registry& registry) override {
    for (Resource& resource : files_) {
      // A kernel without PSI has no such file; one that was booted with psi=0 refuses to open it.
      const auto text = resource.file.read(buffer_);
      if (!text) continue;
      Words lines(*text);
      while (const auto line = lines.line()) {
        const auto total = line->rfind("total=");
        if (total == string_view::npos) continue;
        const auto waited = whole_number(line->substr(total + 6));
        const MetricSpec& metric = line->starts_with("some") ? kWaiting : kStalled;
        if (waited) registry.set(metric, {resource.name}, static_cast<std::int64_t>(*waited));
      }
    }
    return {};
  }

 private:
  struct Resource {
    string_view name;
    SampledFile file;
  };
  std::array<Resource, 3> files_;
  std::string buffer_;
};

constexpr std::size_t kDiskColumns = 11;
struct DiskColumn {
  std::size_t column;  ///< of /proc/diskstats, behind the name
  std::int64_t factor;
  MetricSpec metric;
};
constexpr std::int64_t kSector = 512;
constexpr std::array kDisk{
    DiskColumn{0, 1, counter("chaosd_host_disk_reads_completed_total", "", 1, "Reads.", {"device"})},
    DiskColumn{2, kSector, counter("chaosd_host_disk_read_bytes_total", "bytes", 1, "Bytes read.", {"device"})},
    DiskColumn{3, 1,
               counter("chaosd_host_disk_read_time_seconds_total", "seconds", kMilli, "Time that reads took, added up.",
                       {"device"})},
    DiskColumn{4, 1, counter("chaosd_host_disk_writes_completed_total", "", 1, "Writes.", {"device"})},
    DiskColumn{6, kSector, counter("chaosd_host_disk_written_bytes_total", "bytes", 1, "Bytes written.", {"device"})},
    DiskColumn{7, 1,
               counter("chaosd_host_disk_write_time_seconds_total", "seconds", kMilli,
                       "Time that writes took, added up.", {"device"})},
    DiskColumn{8, 1, gauge("chaosd_host_disk_io_now", "", "Reads and writes under way.", {"device"})},
    DiskColumn{9, 1,
               counter("chaosd_host_disk_io_time_seconds_total", "seconds", kMilli, "Time in which there was any I/O.",
                       {"device"})},
};

class DiskCollector final : public Collector {
 public:
  explicit DiskCollector(const TelemetryRoots& roots) : diskstats_(roots.proc / "diskstats") {}
  [[nodiscard]] string_view name() const override { return "disk"; }

  Status collect(Registry& registry) override {
    const auto text = diskstats_.read(buffer_);
    if (!text) return std::unexpected(text.error());
    Words lines(*text);
    while (const auto line = lines.line()) {
      Words words(*line);
      (void)words.word();
      (void)words.word();
      const string_view device = words.word();
      std::array<std::uint64_t, kDiskColumns> columns{};
      bool used = false;
      for (std::uint64_t& column : columns) {
        column = words.number().value_or(0);
        used = used || column != 0;
      }
      if (!used) continue;  // loop and ram devices that nothing is on
      for (const DiskColumn& what : kDisk) {
        registry.set(what.metric, {device}, static_cast<std::int64_t>(columns[what.column]) * what.factor);
      }
    }
    return {};
  }

 private:
  SampledFile diskstats_;
  std::string buffer_;
};

constexpr MetricSpec kFsSize =
    gauge("chaosd_host_filesystem_size_bytes", "bytes", "Size of the file system.", {"mountpoint"});
constexpr MetricSpec kFsAvailable =
    gauge("chaosd_host_filesystem_avail_bytes", "bytes", "Room for programs that are not root's.", {"mountpoint"});
constexpr MetricSpec kFsFiles = gauge("chaosd_host_filesystem_files_free", "", "Inodes that are free.", {"mountpoint"});

/// "\040" as the kernel writes a blank in a mount point.
std::string unescaped(string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Local file systems alone: asking a network's or a FUSE's how full it is may wait for ever.
class FilesystemCollector final : public Collector {
 public:
  explicit FilesystemCollector(const TelemetryRoots& roots) : mounts_(roots.mounts) {}
  [[nodiscard]] string_view name() const override { return "filesystem"; }
  [[nodiscard]] std::chrono::nanoseconds least_period() const override { return std::chrono::seconds(5); }

  Status collect(Registry& registry) override {
    static constexpr std::array<string_view, 9> kLocal{"ext2", "ext3", "ext4",  "xfs",    "btrfs",
                                                       "f2fs", "vfat", "tmpfs", "overlay"};
    const auto text = mounts_.read(buffer_);
    if (!text) return std::unexpected(text.error());
    std::set<std::string, std::less<>> seen;
    Words lines(*text);
    while (const auto line = lines.line()) {
      Words words(*line);
      const string_view device = words.word();
      const string_view point = words.word();
      const string_view type = words.word();
      if (!contains(kLocal, type)) continue;
      // One that is mounted in many places counts once, by the first of them.
      const bool has_name = device.starts_with('/');
      if (!seen.insert(std::string(has_name ? device : point)).second) continue;
      set(unescaped(point), registry);
    }
    return {};
  }

 private:
  static void set(const std::string& point, Registry& registry) {
    struct statvfs found {};
    if (::statvfs(point.c_str(), &found) != 0 || found.f_blocks == 0) return;
    const auto bytes = [&](fsblkcnt_t blocks) { return static_cast<std::int64_t>(blocks * found.f_frsize); };
    registry.set(kFsSize, {point}, bytes(found.f_blocks));
    registry.set(kFsAvailable, {point}, bytes(found.f_bavail));
    registry.set(kFsFiles, {point}, static_cast<std::int64_t>(found.f_ffree));
  }

  SampledFile mounts_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Collector> make_cpu_collector(const TelemetryRoots& roots) {
  return std::make_unique<CpuCollector>(roots);
}
std::unique_ptr<Collector> make_memory_collector(const TelemetryRoots& roots) {
  return std::make_unique<MemoryCollector>(roots);
}
std::unique_ptr<Collector> make_pressure_collector(const TelemetryRoots& roots) {
  return std::make_unique<PressureCollector>(roots);
}
std::unique_ptr<Collector> make_disk_collector(const TelemetryRoots& roots) {
  return std::make_unique<DiskCollector>(roots);
}
std::unique_ptr<Collector> make_filesystem_collector(const TelemetryRoots& roots) {
  return std::make_unique<FilesystemCollector>(roots);
}

}  // namespace chaos
