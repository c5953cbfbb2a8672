// Collector: reads one group of the host's counters into the registry. The sampler's thread. A collector holds its
// files open and never waits for anything but the kernel.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "plan/services.h"
#include "plan/target_state.h"
#include "telemetry/registry.h"

namespace chaos {

class Collector {
 public:
  virtual ~Collector() = default;
  /// Value of the label `collector` of what it costs.
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Not looked at more often than this; what it found stays as it was meanwhile.
  [[nodiscard]] virtual std::chrono::nanoseconds least_period() const { return {}; }
  /// Sets what it finds. What this host has not (no PSI, no IPv6) is left out, silently. Error: what should be there
  /// could not be read; the rest is set all the same.
  virtual Status collect(Registry& registry) = 0;
  /// The configured services as they are now. Called before collect() when they were looked at.
  virtual void see_services(const std::vector<ServiceState>& /*services*/) {}
  /// The targets of active scenarios, likewise.
  virtual void see_targets(const std::vector<TargetState>& /*targets*/) {}
};

/// Where the kernel's files are; another root for tests.
struct TelemetryRoots {
  std::filesystem::path proc = "/proc";
  std::filesystem::path mounts = "/proc/self/mounts";  ///< to find the cgroup trees
};

/// All of this host, in the order in which they are run.
[[nodiscard]] std::vector<std::unique_ptr<Collector>> host_collectors(const TelemetryRoots& roots = {});

// The groups of that list.
[[nodiscard]] std::unique_ptr<Collector> make_cpu_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_memory_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_pressure_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_disk_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_filesystem_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_link_collector();
[[nodiscard]] std::unique_ptr<Collector> make_protocol_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_softnet_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_socket_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_service_collector(const TelemetryRoots& roots);
[[nodiscard]] std::unique_ptr<Collector> make_target_collector(const TelemetryRoots& roots);

}  // namespace chaos
