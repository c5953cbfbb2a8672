// The configured services.
#include <map>

#include "telemetry/collector.h"
#include "telemetry/process_group.h"

namespace chaos {
namespace {

using std::string_view;

constexpr std::uint32_t kUserHz = 100;
constexpr std::uint32_t kMicro = 1'000'000;
constexpr auto kCounter = MetricType::kCounter;
constexpr auto kGauge = MetricType::kGauge;

constexpr MetricSpec of_service(string_view name, MetricType type, string_view unit, std::uint32_t scale,
                                string_view help) {
  return {name, type, unit, scale, help, {"service"}};
}

constexpr GroupMetrics kMetrics{
    .up = of_service("chaosd_service_up", kGauge, "", 1, "1: processes of the service run."),
    .processes = of_service("chaosd_service_processes", kGauge, "", 1, "Processes of the service."),
    .process_cpu = of_service("chaosd_service_process_cpu_seconds", kGauge, "seconds", kUserHz,
                              "CPU time of the service's processes that live now."),
    .process_memory = of_service("chaosd_service_process_resident_bytes", kGauge, "bytes", 1,
                                 "Resident memory of the service's processes, what they share counted each time."),
    .cpu = of_service("chaosd_service_cpu_seconds_total", kCounter, "seconds", kMicro,
                      "CPU time of the service's cgroup."),
    .throttled = of_service("chaosd_service_cpu_throttled_seconds_total", kCounter, "seconds", kMicro,
                            "Time in which the cgroup's CPU limit held it back."),
    .memory = of_service("chaosd_service_memory_bytes", kGauge, "bytes", 1,
                         "Memory of the service's cgroup, with page cache."),
    .oom_kills = of_service("chaosd_service_oom_kills_total", kCounter, "", 1,
                            "Processes of the cgroup that the kernel killed for memory."),
    .tasks = of_service("chaosd_service_tasks", kGauge, "", 1, "Threads in the service's cgroup."),
    .read = of_service("chaosd_service_io_read_bytes_total", kCounter, "bytes", 1,
                       "Bytes that the cgroup read from devices."),
    .written = of_service("chaosd_service_io_written_bytes_total", kCounter, "bytes", 1,
                          "Bytes that the cgroup wrote to devices."),
    .waiting = {"chaosd_service_pressure_waiting_seconds_total",
                kCounter,
                "seconds",
                kMicro,
                "Time in which some task of the cgroup waited for the resource (PSI some).",
                {"service", "resource"}},
};

class ServiceCollector final : public Collector {
 public:
  explicit ServiceCollector(TelemetryRoots roots) : roots_(std::move(roots)) {}
  [[nodiscard]] string_view name() const override { return "services"; }

  void see_services(const std::vector<ServiceState>& services) override {
    std::map<std::string, ProcessGroup> now;
    for (const ServiceState& service : services) {
      const auto last = watched_.find(service.name);
      const bool same = last != watched_.end() && last->second.is(service.pids, service.cgroups);
      now.emplace(service.name, same ? std::move(last->second)
                                     : ProcessGroup(kMetrics, roots_, {service.name}, service.pids, service.cgroups));
    }
    watched_ = std::move(now);
  }

  Status collect(Registry& registry) override {
    for (auto& [name, service] : watched_) service.collect(registry, buffer_);
    return {};
  }

 private:
  const TelemetryRoots roots_;
  std::map<std::string, ProcessGroup> watched_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Collector> make_service_collector(const TelemetryRoots& roots) {
  return std::make_unique<ServiceCollector>(roots);
}

}  // namespace chaos
