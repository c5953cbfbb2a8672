// The watch of drops: packets that the kernel frees without having delivered them, by its reason and by who it was; and
// processes that it kills for want of memory.
#include <algorithm>
#include <array>

#include "kernel/net_probes.h"
#include "kernel/tracepoints.h"
#include "telemetry/net_watch.h"

namespace chaos {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, CHAOS_DROP_ORIGINS> kOrigins{"natural", "injected", "delay_line"};

constexpr MetricSpec kDrops{
    "chaosd_skb_drops_total",
    MetricType::kCounter,
    "",
    1,
    "Packets that the kernel dropped while somebody watched, by its reason; origin: injected by "
    "chaosd's faults, lost in its delay line, or natural.",
    {"scope", "reason", "origin"}};
constexpr MetricSpec kUnowned{
    "chaosd_skb_drops_without_socket_total",
    MetricType::kCounter,
    "",
    1,
    "Packets dropped while somebody watched the scope, of which no socket is known: anybody's.",
    {"scope", "origin"}};
constexpr MetricSpec kOomKills{"chaosd_oom_kills_total",
                               MetricType::kCounter,
                               "",
                               1,
                               "Processes killed for want of memory while somebody watched.",
                               {"scope"}};

json reasons_json(const chaos_net_counts& counts) {
  struct Row {
    std::string reason;
    std::string_view origin;
    std::uint64_t count;
  };
  std::vector<Row> rows;
  for (unsigned origin = 0; origin < CHAOS_DROP_ORIGINS; ++origin) {
    for (unsigned reason = 0; reason < CHAOS_DROP_REASONS; ++reason) {
      const std::uint64_t count = counts.drops[origin][reason];
      if (count > 0) rows.push_back({tracepoints()->drop_reason(reason), kOrigins[origin], count});
    }
  }
  std::ranges::stable_sort(rows, std::ranges::greater{}, &Row::count);
  json list = json::array();
  for (const Row& row : rows) list.push_back({{"reason", row.reason}, {"origin", row.origin}, {"count", row.count}});
  return list;
}

class DropWatch : public NetWatchBase {
 public:
  using NetWatchBase::NetWatchBase;

  [[nodiscard]] json report(const Mark& since) const override {
    const chaos_net_counts counts = counted_since(since);
    std::array<std::uint64_t, CHAOS_DROP_ORIGINS> sums{};
    json without = json::object();
    for (unsigned origin = 0; origin < CHAOS_DROP_ORIGINS; ++origin) {
      for (const std::uint64_t count : counts.drops[origin]) sums[origin] += count;
      without[std::string(kOrigins[origin])] = counts.drops_unowned[origin];
    }
    json body{{"total", sums[0] + sums[1] + sums[2]},  {"natural", sums[CHAOS_DROP_NATURAL]},
              {"injected", sums[CHAOS_DROP_INJECTED]}, {"delay_line", sums[CHAOS_DROP_DELAY_LINE]},
              {"reasons", reasons_json(counts)},       {"oom_kills", counts.oom_kills},
              {"missed", missed_since(since)},         {"notes", notes()}};
    if (narrowed()) body["without_socket"] = std::move(without);
    return body;
  }

  void set_series(Registry& registry, std::string_view scope) const override {
    const chaos_net_counts counts = probes().read();
    for (unsigned origin = 0; origin < CHAOS_DROP_ORIGINS; ++origin) {
      for (unsigned reason = 0; reason < CHAOS_DROP_REASONS; ++reason) {
        if (counts.drops[origin][reason] == 0) continue;
        registry.set(kDrops, {scope, tracepoints()->drop_reason(reason), kOrigins[origin]},
                     static_cast<std::int64_t>(counts.drops[origin][reason]));
      }
      if (!narrowed()) continue;
      registry.set(kUnowned, {scope, kOrigins[origin]}, static_cast<std::int64_t>(counts.drops_unowned[origin]));
    }
    registry.set(kOomKills, {scope}, static_cast<std::int64_t>(counts.oom_kills));
  }

 private:
  [[nodiscard]] json notes() const {
    json list = json::array();
    if (!narrowed()) return list;
    if (!tracepoints()->drop_receivers) {
      list.push_back(
          "before Linux 6.11 the kernel does not say whose an arriving packet was that it drops: such drops "
          "are under without_socket");
    }
    if (!tracepoints()->victim_is_task) {
      list.push_back(
          "before Linux 6.8 the kernel does not say in which cgroup it kills for want of memory: oom_kills "
          "are known of the whole host only");
    }
    return list;
  }
};

}  // namespace

Result<std::unique_ptr<Watch>> attach_drop_watch(const ProbeIdentity& identity, const WatchTarget& target) {
  return attach_net_watch<DropWatch>(NetWatch::kDrops, identity, target);
}

}  // namespace chaos
