// The targets of what acts now: processes, cgroups, and their TCP sockets as sock_diag(7) summarizes them.
#include <algorithm>
#include <map>

#include "kernel/netns.h"
#include "kernel/tcp_sockets.h"
#include "telemetry/collector.h"
#include "telemetry/process_group.h"

namespace chaos {
namespace {

using std::string_view;

constexpr std::uint32_t kUserHz = 100;
constexpr std::uint32_t kMicro = 1'000'000;
constexpr auto kCounter = MetricType::kCounter;
constexpr auto kGauge = MetricType::kGauge;

constexpr MetricSpec of_target(string_view name, MetricType type, string_view unit, std::uint32_t scale,
                               string_view help) {
  return {name, type, unit, scale, help, {"id", "kind"}};
}

constexpr GroupMetrics kMetrics{
    .up = of_target("chaosd_target_up", kGauge, "", 1, "1: processes of the scenario's target run."),
    .processes = of_target("chaosd_target_processes", kGauge, "", 1, "Processes of the target."),
    .process_cpu = of_target("chaosd_target_process_cpu_seconds", kGauge, "seconds", kUserHz,
                             "CPU time of the target's processes that live now."),
    .process_memory = of_target("chaosd_target_process_resident_bytes", kGauge, "bytes", 1,
                                "Resident memory of the target's processes, what they share counted each time."),
    .cpu =
        of_target("chaosd_target_cpu_seconds_total", kCounter, "seconds", kMicro, "CPU time of the target's cgroup."),
    .throttled = of_target("chaosd_target_cpu_throttled_seconds_total", kCounter, "seconds", kMicro,
                           "Time in which the cgroup's CPU limit held it back."),
    .memory =
        of_target("chaosd_target_memory_bytes", kGauge, "bytes", 1, "Memory of the target's cgroup, with page cache."),
    .oom_kills = of_target("chaosd_target_oom_kills_total", kCounter, "", 1,
                           "Processes of the cgroup that the kernel killed for memory."),
    .tasks = of_target("chaosd_target_tasks", kGauge, "", 1, "Threads in the target's cgroup."),
    .read = of_target("chaosd_target_io_read_bytes_total", kCounter, "bytes", 1,
                      "Bytes that the cgroup read from devices."),
    .written = of_target("chaosd_target_io_written_bytes_total", kCounter, "bytes", 1,
                         "Bytes that the cgroup wrote to devices."),
    .waiting = {"chaosd_target_pressure_waiting_seconds_total",
                kCounter,
                "seconds",
                kMicro,
                "Time in which some task of the cgroup waited for the resource (PSI some).",
                {"id", "kind", "resource"}},
};

constexpr MetricSpec kSockets =
    of_target("chaosd_target_tcp_sockets", kGauge, "", 1, "TCP connections of the target that are established.");
constexpr MetricSpec kRtt{"chaosd_target_tcp_rtt_seconds",
                          kGauge,
                          "seconds",
                          kMicro,
                          "Smoothed round-trip time of these connections: the shortest, the median and the longest.",
                          {"id", "kind", "of"}};
constexpr MetricSpec kRetransmits = of_target("chaosd_target_tcp_retransmitted_segments", kGauge, "", 1,
                                              "Segments that these connections have sent again since they began.");
constexpr MetricSpec kLost =
    of_target("chaosd_target_tcp_lost_segments", kGauge, "", 1, "Segments that these connections think lost now.");
constexpr MetricSpec kUnacknowledged = of_target("chaosd_target_tcp_unacknowledged_segments", kGauge, "", 1,
                                                 "Segments of these connections that are on their way.");
constexpr MetricSpec kSendQueue = of_target("chaosd_target_tcp_send_queue_bytes", kGauge, "bytes", 1,
                                            "Bytes that these connections have to send, or to have acknowledged.");
constexpr MetricSpec kReceiveQueue = of_target("chaosd_target_tcp_receive_queue_bytes", kGauge, "bytes", 1,
                                               "Bytes that have come and have not been read.");

constexpr std::uint8_t kEstablished = 1;  // TCP_ESTABLISHED of include/net/tcp_states.h

using Sockets = std::vector<TcpSocketInfo>;

/// Of one namespace; opened for the moment: what stays open keeps it alive.
Result<Sockets> sockets_of(std::uint64_t inode, const std::string& how) {
  const auto own = Netns::current();
  if (own && own->inode() == inode) return list_tcp_sockets();
  const auto netns = Netns::open(how);
  if (!netns) return std::unexpected(netns.error());
  // Its process has ended, and the number is another's.
  if (netns->inode() != inode) return Sockets();
  Result<Sockets> sockets = Sockets();
  if (Status status = netns->run([&] { sockets = list_tcp_sockets(); }); !status) {
    return std::unexpected(status.error());
  }
  return sockets;
}

class TargetCollector final : public Collector {
 public:
  explicit TargetCollector(TelemetryRoots roots) : roots_(std::move(roots)) {}
  [[nodiscard]] string_view name() const override { return "targets"; }

  void see_targets(const std::vector<TargetState>& targets) override {
    std::map<std::string, Watched> now;
    for (const TargetState& target : targets) {
      const auto last = watched_.find(target.id);
      const bool same = last != watched_.end() && last->second.group.is(target.pids, target.cgroups);
      now.emplace(target.id, Watched{target, same ? std::move(last->second.group)
                                                  : ProcessGroup(kMetrics, roots_, {target.id, target.kind},
                                                                 target.pids, target.cgroups)});
    }
    watched_ = std::move(now);
  }

  Status collect(Registry& registry) override {
    std::map<std::uint64_t, Sockets> networks;
    Status all_well;
    for (auto& [id, watched] : watched_) {
      const TargetState& target = watched.state;
      if (target.pids.empty() && target.networks.empty()) continue;
      watched.group.collect(registry, buffer_);
      if (target.networks.empty()) continue;
      Sockets its;
      for (const auto& [inode, how] : target.networks) {
        auto known = networks.find(inode);
        if (known == networks.end()) {
          auto found = sockets_of(inode, how);
          // A process that ends is no error: the next look tells.
          if (!found && found.error().code != Errc::kNotFound) all_well = std::unexpected(found.error());
          known = networks.emplace(inode, found ? std::move(*found) : Sockets()).first;
        }
        std::ranges::copy_if(known->second, std::back_inserter(its),
                             [&](const TcpSocketInfo& socket) { return is_of(target, socket); });
      }
      summarize(target, its, registry);
    }
    return all_well;
  }

 private:
  struct Watched {
    TargetState state;
    ProcessGroup group;
  };

  static bool is_of(const TargetState& target, const TcpSocketInfo& socket) {
    if (socket.state != kEstablished) return false;
    return target.all_sockets || target.cgroup_ids.contains(socket.cgroup) ||
           (socket.inode != 0 && target.socket_inodes.contains(socket.inode));
  }

  static void summarize(const TargetState& target, const Sockets& sockets, Registry& registry) {
    std::vector<std::uint32_t> rtts;
    std::int64_t retransmits = 0;
    std::int64_t lost = 0;
    std::int64_t unacknowledged = 0;
    std::int64_t send_queue = 0;
    std::int64_t receive_queue = 0;
    for (const TcpSocketInfo& socket : sockets) {
      if (socket.rtt_us > 0) rtts.push_back(socket.rtt_us);
      retransmits += socket.retransmits;
      lost += socket.lost;
      unacknowledged += socket.unacknowledged;
      send_queue += socket.send_queue_bytes;
      receive_queue += socket.receive_queue_bytes;
    }
    const auto set = [&](const MetricSpec& metric, std::int64_t value) {
      registry.set(metric, {target.id, target.kind}, value);
    };
    set(kSockets, static_cast<std::int64_t>(sockets.size()));
    set(kRetransmits, retransmits);
    set(kLost, lost);
    set(kUnacknowledged, unacknowledged);
    set(kSendQueue, send_queue);
    set(kReceiveQueue, receive_queue);
    if (rtts.empty()) return;
    std::ranges::sort(rtts);
    registry.set(kRtt, {target.id, target.kind, "shortest"}, rtts.front());
    registry.set(kRtt, {target.id, target.kind, "median"}, rtts[(rtts.size() - 1) / 2]);
    registry.set(kRtt, {target.id, target.kind, "longest"}, rtts.back());
  }

  const TelemetryRoots roots_;
  std::map<std::string, Watched> watched_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Collector> make_target_collector(const TelemetryRoots& roots) {
  return std::make_unique<TargetCollector>(roots);
}

}  // namespace chaos
