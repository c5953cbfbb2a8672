#include "telemetry/collector.h"

namespace chaos {

std::vector<std::unique_ptr<Collector>> host_collectors(const TelemetryRoots& roots) {
  std::vector<std::unique_ptr<Collector>> all;
  all.push_back(make_cpu_collector(roots));
  all.push_back(make_memory_collector(roots));
  all.push_back(make_pressure_collector(roots));
  all.push_back(make_disk_collector(roots));
  all.push_back(make_filesystem_collector(roots));
  all.push_back(make_link_collector());
  all.push_back(make_protocol_collector(roots));
  all.push_back(make_softnet_collector(roots));
  all.push_back(make_socket_collector(roots));
  all.push_back(make_service_collector(roots));
  all.push_back(make_target_collector(roots));
  return all;
}

}  // namespace chaos
