// The watch of TCP: what is sent again, resets, smoothed round-trip times of what arrives; beside that, what the kernel
// says of each socket at the moment.
#include <array>
#include <functional>
#include <map>

#include "kernel/log_linear.h"
#include "kernel/netns.h"
#include "kernel/tcp_sockets.h"
#include "kernel/tracepoints.h"
#include "telemetry/net_watch.h"

namespace chaos {
namespace {

using nlohmann::json;

constexpr std::uint32_t kMicro = 1'000'000;
// Bounds of /metrics: 2^n - 1 µs, which end a bucket of the programs: 31 µs to 16.8 s.
constexpr unsigned kFirstBound = 5;
constexpr unsigned kLastBound = 24;

constexpr MetricSpec kRetransmits{"chaosd_tcp_retransmits_total",
                                  MetricType::kCounter,
                                  "",
                                  1,
                                  "Packets that TCP sent again while somebody watched.",
                                  {"scope"}};
constexpr MetricSpec kSegments{
    "chaosd_tcp_retransmitted_segments_total", MetricType::kCounter, "", 1, "Segments in them.", {"scope"}};
constexpr MetricSpec kResets{
    "chaosd_tcp_resets_total", MetricType::kCounter, "", 1, "Resets sent and received while somebody watched.",
    {"scope", "direction"}};
constexpr std::string_view kRtt = "chaosd_tcp_rtt_seconds";
constexpr std::string_view kRttHelp = "Smoothed round-trip time of a connection, at each of its packets that arrived.";
constexpr MetricSpec kRttBucket{
    "chaosd_tcp_rtt_seconds_bucket", MetricType::kCounter, "", 1, kRttHelp, {"scope", "le"}, kRtt};
constexpr MetricSpec kRttSum{
    "chaosd_tcp_rtt_seconds_sum", MetricType::kCounter, "seconds", kMicro, kRttHelp, {"scope"}, kRtt};
constexpr MetricSpec kRttCount{"chaosd_tcp_rtt_seconds_count", MetricType::kCounter, "", 1, kRttHelp, {"scope"}, kRtt};

json or_null(const std::optional<std::uint64_t>& value) { return value ? json(*value) : json(nullptr); }

json rtt_json(const chaos_net_counts& counts) {
  const std::span<const BucketCount> buckets(counts.rtt);
  json list = json::array();
  std::optional<std::uint64_t> least;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] == 0) continue;
    if (!least) least = bucket_begin(i);
    list.push_back({{"le_us", bucket_end(i)}, {"count", buckets[i]}});
  }
  const std::uint64_t samples = sample_count(buckets);
  return {{"samples", samples},
          {"mean_us", samples > 0 ? json(counts.rtt_sum_us / samples) : json(nullptr)},
          {"min_us", or_null(least)},
          {"p50_us", or_null(quantile(buckets, 0.5))},
          {"p90_us", or_null(quantile(buckets, 0.9))},
          {"p99_us", or_null(quantile(buckets, 0.99))},
          {"max_us", or_null(quantile(buckets, 1))},
          {"buckets", std::move(list)}};
}

/// Ids of the target's cgroups and all below; nothing if they cannot be looked at.
std::set<std::uint64_t> ids_of(const std::vector<Cgroup>& cgroups) {
  std::set<std::uint64_t> ids;
  const auto tree = CgroupTree::find();
  if (!tree) return ids;
  for (const Cgroup& cgroup : cgroups) ids.merge(tree->ids_within(cgroup));
  return ids;
}

/// In all network namespaces that the target lives in; of the host: in chaosd's own.
std::vector<TcpSocketInfo> sockets_of(const WatchTarget& target, json& notes) {
  std::vector<TcpSocketInfo> all;
  const auto list = [&] {
    auto found = list_tcp_sockets();
    if (found) all.insert(all.end(), found->begin(), found->end());
    if (!found) notes.push_back(found.error().message);
  };
  if (!target.cgroups) {
    list();
    return all;
  }
  for (const pid_t pid : target.netns_members) {
    // One that has just ended has no sockets.
    if (const auto netns = Netns::open(std::to_string(pid))) (void)netns->run(list);
  }
  const std::set<std::uint64_t> ids = ids_of(*target.cgroups);
  std::erase_if(all, [&](const TcpSocketInfo& socket) { return !ids.contains(socket.cgroup); });
  return all;
}

json sockets_json(const std::vector<TcpSocketInfo>& sockets) {
  json states = json::object();
  std::vector<std::uint32_t> rtts;
  std::uint64_t retransmits = 0;
  std::uint64_t lost = 0;
  std::uint64_t unacked = 0;
  std::uint64_t send_queue = 0;
  std::uint64_t receive_queue = 0;
  constexpr std::uint8_t kListen = 10;  // include/net/tcp_states.h
  for (const TcpSocketInfo& socket : sockets) {
    json& count = states[std::string(tcp_state_name(socket.state))];
    count = count.is_null() ? 1 : count.get<int>() + 1;
    if (socket.rtt_us > 0) rtts.push_back(socket.rtt_us);
    retransmits += socket.retransmits;
    lost += socket.lost;
    unacked += socket.unacknowledged;
    send_queue += socket.send_queue_bytes;
    if (socket.state != kListen) receive_queue += socket.receive_queue_bytes;
  }
  std::ranges::sort(rtts);
  json rtt = nullptr;
  if (!rtts.empty()) rtt = {{"min", rtts.front()}, {"p50", rtts[(rtts.size() - 1) / 2]}, {"max", rtts.back()}};
  return {{"count", sockets.size()},
          {"states", std::move(states)},
          {"rtt_us", std::move(rtt)},
          {"retransmits", retransmits},
          {"lost", lost},
          {"unacked", unacked},
          {"send_queue_bytes", send_queue},
          {"receive_queue_bytes", receive_queue}};
}

class TcpWatch : public NetWatchBase {
 public:
  using NetWatchBase::NetWatchBase;

  [[nodiscard]] json report(const Mark& since) const override {
    const chaos_net_counts counts = counted_since(since);
    json notes = json::array();
    if (!tracepoints()->resets_without_socket) {
      notes.push_back("before Linux 6.10 the kernel does not tell of resets that answer packets to no socket");
    }
    json sockets = sockets_json(sockets_of(target(), notes));
    json resets{{"sent", counts.resets_sent}, {"received", counts.resets_received}};
    if (narrowed()) resets["sent_without_socket"] = counts.resets_unowned;
    return {{"retransmits",
             {{"packets", counts.retransmits},
              {"segments", counts.retransmitted_segments},
              {"syn", counts.retransmitted_syns},
              {"synack", counts.retransmitted_synacks}}},
            {"resets", std::move(resets)},
            {"rtt", rtt_json(counts)},
            {"sockets", std::move(sockets)},
            {"missed", missed_since(since)},
            {"notes", std::move(notes)}};
  }

  void set_series(Registry& registry, std::string_view scope) const override {
    const chaos_net_counts counts = probes().read();
    const auto whole = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    registry.set(kRetransmits, {scope}, whole(counts.retransmits));
    registry.set(kSegments, {scope}, whole(counts.retransmitted_segments));
    registry.set(kResets, {scope, "sent"}, whole(counts.resets_sent));
    registry.set(kResets, {scope, "received"}, whole(counts.resets_received));
    std::uint64_t below = 0;
    std::size_t index = 0;
    for (unsigned power = kFirstBound; power <= kLastBound; ++power) {
      const std::uint64_t bound = (std::uint64_t{1} << power) - 1;
      for (; index < CHAOS_RTT_BUCKETS && bucket_end(index) <= bound; ++index) below += counts.rtt[index];
      registry.set(kRttBucket, {scope, scaled_text(whole(bound), kMicro)}, whole(below));
    }
    for (; index < CHAOS_RTT_BUCKETS; ++index) below += counts.rtt[index];
    registry.set(kRttBucket, {scope, "+Inf"}, whole(below));
    registry.set(kRttCount, {scope}, whole(below));
    registry.set(kRttSum, {scope}, whole(counts.rtt_sum_us));
  }
};

}  // namespace

Result<std::unique_ptr<Watch>> attach_tcp_watch(const ProbeIdentity& identity, const WatchTarget& target) {
  return attach_net_watch<TcpWatch>(NetWatch::kTcp, identity, target);
}

}  // namespace chaos
